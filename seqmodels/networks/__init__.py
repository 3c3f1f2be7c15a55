"""Networks: embedder, encoder and head, one file a task. Prediction and export need nothing above this package."""

from seqmodels.networks.classification import ClassificationNetwork
from seqmodels.networks.language_modeling import LanguageModelingNetwork
from seqmodels.networks.network import Network, network_registry, register_network
from seqmodels.networks.tagging import TaggingNetwork
from seqmodels.networks.translation import TranslationNetwork

__all__ = [
    "ClassificationNetwork",
    "LanguageModelingNetwork",
    "Network",
    "TaggingNetwork",
    "TranslationNetwork",
    "network_registry",
    "register_network",
]
