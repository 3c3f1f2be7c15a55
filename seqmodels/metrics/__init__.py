"""Metrics that add up counts and take ratios at the end, so batches, ranks and runs can be summed in any order."""

from seqmodels.metrics.average import Average
from seqmodels.metrics.classification import ClassificationScores
from seqmodels.metrics.confusion_picture import plot_confusion_matrix
from seqmodels.metrics.entities import EntityScores
from seqmodels.metrics.likelihood import LikelihoodScores, perplexity_of
from seqmodels.metrics.multilabel import MultilabelScores
from seqmodels.metrics.translation import TranslationScores, sentence_bleu

__all__ = [
    "Average",
    "ClassificationScores",
    "EntityScores",
    "LikelihoodScores",
    "MultilabelScores",
    "TranslationScores",
    "perplexity_of",
    "plot_confusion_matrix",
    "sentence_bleu",
]
