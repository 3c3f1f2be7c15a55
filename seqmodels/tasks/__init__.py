"""Tasks: a network with its loss, metrics and optimiser, as Lightning's Trainer runs it."""

from seqmodels.tasks.classification import SequenceClassifier
from seqmodels.tasks.language_modeling import LanguageModel
from seqmodels.tasks.tagging import SequenceTagger
from seqmodels.tasks.task import Task
from seqmodels.tasks.translation import Translator

__all__ = ["LanguageModel", "SequenceClassifier", "SequenceTagger", "Task", "Translator"]
