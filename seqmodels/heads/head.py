"""The contract that every head keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from seqmodels.errors import ConfigurationError


class Head(nn.Module, ABC):
    """Gives each of an encoder's outputs a probability distribution over what it predicts.

    `items` are the real steps of a batch, in one row each; what an item predicts, its target, is an id or a vector of
    features, as the head says. A head is called by these methods and not as a function.

    Args:
        input_size: features of each item.
        output_size: of each item's logits: the ids of the vocabulary, or the features of a target.

    Raises:
        ConfigurationError: a size is not a positive integer.
    """

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("output_size", output_size)):
            if not isinstance(size, int) or size < 1:
                raise ConfigurationError(f"{type(self).__name__}: {name} must be a positive integer, got {size!r}")
        self.input_size = input_size
        self.output_size = output_size

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes what training minimises.

        Args:
            outputs: (items, input_size).
            targets: (items,) int64, where `IGNORED` is not scored; or (items, output_size), where a head predicts
                features.

        Returns:
            A scalar, the mean over the scored items in nats, smoothing included; 0 where nothing is scored.
        """

    @abstractmethod
    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes the negative log-likelihood of each target, without gradient or smoothing.

        Args:
            outputs: (items, input_size).
            targets: (items,) int64, each an id; or (items, output_size).

        Returns:
            (items,) in nats, float32 at least.
        """

    @abstractmethod
    def logits(self, outputs: Tensor) -> Tensor:
        """Returns (items, output_size): what `log_probs` is of, up to a constant in each row."""

    @abstractmethod
    def log_probs(self, outputs: Tensor) -> Tensor:
        """Returns the log probabilities (items, output_size) in nats, float32 at least."""
