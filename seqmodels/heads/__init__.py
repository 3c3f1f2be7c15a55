"""Heads: what turns an encoder's outputs into a distribution over the next item. `head.py` is the contract."""

from seqmodels.heads.adaptive_softmax import AdaptiveSoftmaxHead
from seqmodels.heads.bernoulli import BernoulliHead
from seqmodels.heads.head import Head
from seqmodels.heads.softmax import SoftmaxHead

__all__ = ["AdaptiveSoftmaxHead", "BernoulliHead", "Head", "SoftmaxHead"]
