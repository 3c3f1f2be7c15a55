"""The subcommands: what was typed, its checks from the cheap to the dear, and what Lightning makes of it."""
