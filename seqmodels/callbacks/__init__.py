"""Callbacks: what happens beside the training of any task."""
