"""Readers: one file format each, streaming `Example`s with errors that say `path:line`."""
