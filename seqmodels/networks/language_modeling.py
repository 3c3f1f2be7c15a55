"""Language modelling: what comes next, after each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqmodels.data.batch import Batch
from seqmodels.data.encoded import Encoded
from seqmodels.data.next_step import end_of_text, to_next_step
from seqmodels.data.readers import Example
from seqmodels.data.schema import Schema
from seqmodels.dropout import LockedDropout
from seqmodels.encoders import State
from seqmodels.errors import ConfigurationError
from seqmodels.heads import AdaptiveSoftmaxHead, BernoulliHead, Head, SoftmaxHead
from seqmodels.masking import lengths_to_mask
from seqmodels.networks.network import Network, register_network
from seqmodels.registry import Spec


@register_network("language_modeling")
class LanguageModelingNetwork(Network):
    """Maps the encoder's output at each step to a distribution over what comes next: a token, or a frame of 0 and 1.

    Args:
        schema: tokens, or features of 0 and 1; no target.
        encoder: a causal encoder, by name with its arguments.
        embedder: the embedder, by name with its arguments.
        tie_weights: whether the softmax takes the token embeddings for its weights, through a linear projection where
            the sizes differ; without effect on frames and on the adaptive softmax.
        dropout: fraction of the encoder's outputs dropped in training, the same ones at all steps of a row, in [0, 1).
        label_smoothing: fraction of the target spread over all tokens in training, in [0, 1).
        adaptive_softmax: the vocabulary sizes at which the adaptive softmax cuts, ascending, such as [2000, 10000], for
            large vocabularies; None for the full softmax.

    Raises:
        ConfigurationError: the encoder reads the future, or an option does not fit the data.

    Reference:
        Weight tying: Press and Wolf (2017), Using the output embedding to improve language models; Inan, Khosravi and
        Socher (2017), Tying word vectors and word classifiers.
    """

    head: Head

    def __init__(
        self,
        schema: Schema,
        *,
        encoder: Spec = "lstm",
        embedder: Spec = "embedding",
        tie_weights: bool = True,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        adaptive_softmax: list[int] | None = None,
    ) -> None:
        super().__init__(schema, encoder=encoder, embedder=embedder)
        if not self.encoder.causal:
            raise ConfigurationError(
                f"{self.encoder.future_reader()} reads the future, so it would see the very step that a language model "
                f"is to predict; choose a causal encoder, such as lstm with bidirectional: false, or convolution with "
                f"causal: true"
            )
        if not self.embedder.stepwise:
            raise ConfigurationError(
                "the embedder tells the place of a step in its row, which windows of a stream and single steps of "
                "generation do not have; leave out embedder.positions"
            )
        self.dropout = LockedDropout(dropout)
        size = self.encoder.output_size
        if schema.tokens is None:
            assert schema.features is not None
            if adaptive_softmax is not None or label_smoothing:
                raise ConfigurationError("adaptive_softmax and label_smoothing are for tokens; this data has frames")
            self.head = BernoulliHead(size, schema.features.size)
        elif adaptive_softmax is not None:
            if label_smoothing:
                raise ConfigurationError("label_smoothing has no meaning with adaptive_softmax; set it to 0")
            self.head = AdaptiveSoftmaxHead(size, schema.tokens.tokenizer.vocab_size, cutoffs=adaptive_softmax)
        else:
            tied = self.embedder.token_weights() if tie_weights else None
            self.head = SoftmaxHead(
                size, schema.tokens.tokenizer.vocab_size, tied=tied, label_smoothing=label_smoothing
            )

    def columns(self, examples: Sequence[Example]) -> Encoded:
        """Returns the examples as inputs and what comes next."""
        return to_next_step(super().columns(examples), self.schema)

    def forward(self, batch: Batch) -> Tensor:
        """Returns (batch, time, output_size), what the head makes the distribution over the next step of."""
        outputs, _ = self.encode(batch)
        return self.dropout(outputs)  # type: ignore[no-any-return]

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Returns the mean negative log-likelihood of the real steps in nats, for training."""
        return self.head.loss(*self._items(outputs, batch))

    def log_probs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Returns (batch, time) float32: the log-likelihood of what came next in nats, 0 beyond each row's length."""
        assert batch.targets is not None
        mask = lengths_to_mask(batch.lengths, outputs.size(1))
        values = outputs.new_zeros(mask.shape, dtype=torch.float32)
        values[mask] = -self.head.nll(outputs[mask], batch.targets[mask]).float()
        return values

    def decode(self, logits: Tensor, batch: Batch) -> Tensor:
        """Returns the likeliest next token (batch, time), or the frame (batch, time, size) of likely notes."""
        scores = self.head.logits(logits.flatten(0, 1)).view(*logits.shape[:2], -1)
        return scores.argmax(2) if self.schema.tokens is not None else (scores > 0).long()

    def results(self, logits: Tensor, batch: Batch) -> list[dict[str, Any]]:
        """Returns for each row its `log_probability` in nats, its number of `steps` and its `perplexity` per step."""
        totals = self.log_probs(logits, batch).double().sum(1).tolist()
        return [
            {"log_probability": total, "steps": steps, "perplexity": math.exp(min(-total / max(steps, 1), 700.0))}
            for total, steps in zip(totals, batch.lengths.tolist(), strict=True)
        ]

    # Generation

    @property
    def end_id(self) -> int:
        """The token that ends a text, and that the first token of a text is predicted from.

        Raises:
            ConfigurationError: the model is of frames, not of tokens.
        """
        if self.schema.tokens is None:
            raise ConfigurationError("only a model of tokens can write text; this one is of frames of features")
        return end_of_text(self.schema.tokens.tokenizer)

    def read(self, ids: Tensor, lengths: Tensor) -> State:
        """Returns the state after the first `lengths` (rows,) of the `ids` (rows, time) of each row."""
        embedded = self.embedder({"ids": ids}, lengths)
        return self.encoder(embedded, lengths)[1]

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Maps one token a row (rows,) and the state before it to the logits (rows, vocab_size) of the next."""
        embedded = self.embedder({"ids": ids.unsqueeze(1)}, torch.ones_like(ids))
        outputs, state = self.encoder.step(embedded.squeeze(1), state)
        return self.head.logits(outputs), state

    def _items(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns outputs (items, size) and targets (items, ...) one below the other."""
        assert batch.targets is not None
        targets = batch.targets
        if self.schema.tokens is not None:  # the padding is IGNORED
            return outputs.flatten(0, 1), targets.flatten()
        mask = lengths_to_mask(batch.lengths, outputs.size(1))
        return outputs[mask], targets[mask]
