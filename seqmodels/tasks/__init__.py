"""Tasks: a network with its loss, metrics and optimiser, as Lightning's Trainer runs it."""

from seqmodels.tasks.classification import SequenceClassifier
from seqmodels.tasks.tagging import SequenceTagger
from seqmodels.tasks.task import Task

__all__ = ["SequenceClassifier", "SequenceTagger", "Task"]
