"""Sequence modelling with PyTorch Lightning: any encoder under any task.

Axis names used in every shape: batch (rows), time (steps of the longest row), lengths (real steps of each row),
input_size / hidden_size / output_size (features), labels (classes or tags), words, characters.
"""
