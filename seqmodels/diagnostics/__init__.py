"""The laboratory for long dependencies: what a network can remember, and how far its gradients reach.

Axes of tensors: batch, time, size (features of a step), scored (the steps of a batch that have a target).
"""
