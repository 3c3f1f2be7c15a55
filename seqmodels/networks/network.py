"""What all networks share: an embedder and an encoder built from a schema, and a registry by task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from seqmodels.data.batch import Batch
from seqmodels.data.encoded import Encoded
from seqmodels.data.readers import Example
from seqmodels.data.schema import Schema, Target
from seqmodels.embedders import embedder_registry
from seqmodels.encoders import State, create_encoder, pretrained_embedding_size
from seqmodels.errors import ConfigurationError
from seqmodels.registry import Registry, Spec


class Network(nn.Module, ABC):
    """Embeds and encodes the inputs of a batch; a subclass adds the head and says what its numbers mean.

    Built from a schema and plain arguments, without Lightning, so that prediction and export need none.

    Args:
        schema: what the inputs and targets are.
        encoder: the encoder, by name with its arguments.
        embedder: the embedder, by name with its arguments.
    """

    def __init__(self, schema: Schema, *, encoder: Spec, embedder: Spec) -> None:
        super().__init__()
        self.schema = schema
        size = pretrained_embedding_size(encoder)
        if size is not None:
            embedder = embedder_registry.with_argument(embedder, "embedding_dim", size)
        self.embedder = embedder_registry.create(embedder, schema)
        self.encoder = create_encoder(encoder, self.embedder.output_size)
        weights, table = self.encoder.embedding_weights(), self.embedder.token_weights()
        if weights is not None and table is not None and not weights.requires_grad:
            table.requires_grad_(False)

    @property
    def target(self) -> Target:
        """The classes or tags that the network chooses from."""
        if self.schema.target is None:
            raise ConfigurationError(f"{type(self).__name__} needs a target, but the data has none")
        return self.schema.target

    def columns(self, examples: Sequence[Example]) -> Encoded:
        """Returns the columns of examples without targets, as batches for prediction are made of."""
        return self.schema.encode(examples, targets=False)

    def encode(self, batch: Batch, state: State | None = None) -> tuple[Tensor, State]:
        """Returns the encoder's outputs (batch, time, output_size) and its state after each row's last step.

        Args:
            batch: the inputs.
            state: where a causal encoder goes on from; None for the initial state.
        """
        embedded = self.embedder(batch.inputs, batch.lengths)  # (batch, time, input_size)
        return self.encoder(embedded, batch.lengths, state)  # type: ignore[no-any-return]

    def initialize(self) -> None:
        """Takes over what pretrained parts bring; called once where training begins, never where weights are loaded."""
        if self.embedder.vectors is not None:
            self.embedder.load_vectors(self.embedder.vectors)
        weights = self.encoder.embedding_weights()
        table = self.embedder.token_weights()
        if weights is not None and table is not None:
            if weights.size(0) < table.size(0) or weights.size(1) != table.size(1):
                raise ConfigurationError(
                    f"the pretrained encoder knows {weights.size(0)} tokens of size {weights.size(1)}, the data's "
                    f"tokenizer gives {table.size(0)} of size {table.size(1)}; use the tokenizer of the same model: "
                    f"tokenizer: {{name: pretrained, path: ...}}"
                )
            table.data.copy_(weights[: table.size(0)])  # hub models pad their tables beyond the tokenizer's ids

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Returns the logits of a batch; of a language model, what its head makes them of."""

    @abstractmethod
    def decode(self, logits: Tensor, batch: Batch) -> Tensor:
        """Returns the ids chosen from the logits, as the targets of the batch would be."""

    @abstractmethod
    def results(self, logits: Tensor, batch: Batch) -> Sequence[dict[str, Any]]:
        """Returns, for each row, the prediction in plain types, as `predict` writes it."""


network_registry: Registry[Network] = Registry("network", Network, supplied=1)
register_network = network_registry.register
