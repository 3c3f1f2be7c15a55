"""The contract that every embedder keeps, and the registry of embedders."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from seqmodels.data.schema import Schema
from seqmodels.errors import ConfigurationError
from seqmodels.registry import Registry, Spec


class Embedder(nn.Module, ABC):
    """Makes one vector of each step of a batch's inputs: what the encoder reads.

    What an embedder promises: a step's vector does not depend on padding, on the other rows or on their order (in
    training up to the random numbers of dropout); it reads no file when it is built, so that a checkpoint needs none.

    Args:
        output_size: features of each step.
        stepwise: whether a step's vector depends on the inputs of that step alone, not on its place in the row.
        vectors: the file of pretrained vectors that `load_vectors` is to be called with when training starts from
            scratch; None if there is none.
    """

    def __init__(self, output_size: int, *, stepwise: bool = True, vectors: str | None = None) -> None:
        super().__init__()
        self.output_size = output_size
        self.stepwise = stepwise
        self.vectors = vectors

    @abstractmethod
    def forward(self, inputs: dict[str, Tensor], lengths: Tensor) -> Tensor:
        """Embeds a batch.

        Args:
            inputs: `ids` (batch, time) int64; `characters` (forms, characters) int64 of the distinct word forms,
                padded with 0, with `character_lengths` (forms,) int64 and `forms` (batch, time) int64, each token's
                row in them; `features` (batch, time, size) float32. Those are present that the schema has.
            lengths: (batch,) int64, each row's number of real steps.

        Returns:
            (batch, time, output_size); what lies beyond a row's length is not defined.
        """

    def token_weights(self) -> nn.Parameter | None:
        """Returns the table of token vectors (vocab_size, embedding_dim), to share or fill; None if there is none."""
        return None

    def load_vectors(self, path: str) -> dict[str, int]:
        """Copies pretrained vectors into the table; returns how many words were `found`, of how many in `vocabulary`.

        Raises:
            ConfigurationError: the embedder has no table of words.
        """
        raise ConfigurationError(f"{type(self).__name__} has no table of words to fill with the vectors of {path}")


embedder_registry: Registry[Embedder] = Registry("embedder", Embedder, supplied=1, default="embedding")
register_embedder = embedder_registry.register
list_embedders = embedder_registry.names

EmbedderSpec = Spec


def create_embedder(spec: EmbedderSpec, schema: Schema) -> Embedder:
    """Builds the embedder that `spec` names, for what `schema` says the inputs hold.

    Raises:
        ConfigurationError: the name is unknown (lists the known ones and the nearest), an argument is unknown, missing
            or out of range, or does not fit the schema.
    """
    return embedder_registry.create(spec, schema)
