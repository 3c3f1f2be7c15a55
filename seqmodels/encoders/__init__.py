"""Encoders: how a sequence is read. `encoder.py` is the contract; every other file is one encoder."""
