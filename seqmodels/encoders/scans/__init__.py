"""The linear recurrence that the parallel encoders run on: its definition, its forms and its gradient."""
