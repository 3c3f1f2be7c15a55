"""Sequence to sequence: a text that is written from one that is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqmodels.attention import Keys
from seqmodels.data.batch import Batch
from seqmodels.data.encoded import IGNORED
from seqmodels.data.schema import Schema
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.decoders import Decoded, create_decoder
from seqmodels.dropout import LockedDropout
from seqmodels.embedders import embedder_registry
from seqmodels.encoders import State
from seqmodels.errors import ConfigurationError
from seqmodels.heads import SoftmaxHead
from seqmodels.networks.network import Network, register_network
from seqmodels.registry import Spec


@register_network("translation")
class TranslationNetwork(Network):
    """Reads a source with any encoder and writes a target, id by id, with a decoder that looks into what was read.

    Args:
        schema: tokens of the source and `target_tokens`.
        encoder: any encoder, by name with its arguments.
        embedder: the source's embedder, by name with its arguments.
        decoder: the decoder, by name with its arguments, such as `{layer: {name: gru, hidden_size: 256}}`.
        target_embedder: the target's embedder, by name with its arguments.
        share_embeddings: whether source and target have one table, which needs one vocabulary for both;
            `target_embedder` is then not used.
        tie_weights: whether the softmax takes the target's embeddings for its weights, through a linear projection
            where the sizes differ.
        dropout: fraction of the decoder's outputs dropped in training, the same ones at all steps of a row, in [0, 1).
        label_smoothing: fraction of the target spread over all ids in training, in [0, 1).

    Raises:
        ConfigurationError: the data has no text to write, or an option does not fit it or the others.

    Reference:
        Bahdanau, Cho and Bengio (2015), Neural machine translation by jointly learning to align and translate;
        Press and Wolf (2017), Using the output embedding to improve language models (three-way tying).
    """

    def __init__(
        self,
        schema: Schema,
        *,
        encoder: Spec = "lstm",
        embedder: Spec = "embedding",
        decoder: Spec = "attention",
        target_embedder: Spec = "embedding",
        share_embeddings: bool = False,
        tie_weights: bool = True,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(schema, encoder=encoder, embedder=embedder)
        if schema.target_tokens is None:
            raise ConfigurationError("a translator needs a text to write, but the data has none; use SequencePairs")
        if share_embeddings and not schema.shares_vocabulary:
            raise ConfigurationError(
                "share_embeddings: true needs one vocabulary for source and target; set data.shared_vocabulary: true"
            )
        if share_embeddings:
            self.target_embedder = self.embedder
        else:
            target_schema = Schema(schema.target_tokens, None, None, None)
            self.target_embedder = embedder_registry.create(target_embedder, target_schema)
        self.decoder = create_decoder(decoder, self.target_embedder.output_size, self.encoder.output_size)
        self.dropout = LockedDropout(dropout)
        self.head = SoftmaxHead(
            self.decoder.output_size,
            self.target_tokenizer.vocab_size,
            tied=self.target_embedder.token_weights() if tie_weights else None,
            label_smoothing=label_smoothing,
        )

    @property
    def target_tokenizer(self) -> Tokenizer:
        """What turns the ids that are written into text."""
        assert self.schema.target_tokens is not None
        return self.schema.target_tokens.tokenizer

    @property
    def begin_id(self) -> int:
        """What the decoder reads before it writes the first id."""
        tokenizer = self.target_tokenizer
        begin = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
        assert begin is not None
        return begin

    @property
    def end_id(self) -> int:
        """The id that ends a target."""
        assert self.target_tokenizer.eos_id is not None
        return self.target_tokenizer.eos_id

    # Training: the targets are known

    def forward(self, batch: Batch) -> Tensor:
        """Returns (batch, target_time, output_size), what the head makes the distribution over the next id of."""
        return self.teach(batch).outputs

    def teach(self, batch: Batch) -> Decoded:
        """Decodes the targets of a batch, each step from the true ids before it; dropout is applied to the outputs."""
        state, keys = self.read(batch)
        assert batch.target_lengths is not None
        embedded = self.target_embedder({"ids": self.previous_ids(batch)}, batch.target_lengths)
        decoded = self.decoder(embedded, batch.target_lengths, state, keys)
        return decoded._replace(outputs=self.dropout(decoded.outputs))  # type: ignore[no-any-return]

    def previous_ids(self, batch: Batch) -> Tensor:
        """Returns (batch, target_time) int64: what stands before each target, the begin token before the first."""
        targets = batch.targets
        assert targets is not None
        begin = targets.new_full((targets.size(0), 1), self.begin_id)
        previous = torch.cat([begin, targets[:, :-1]], dim=1)
        return previous.masked_fill(previous == IGNORED, self.target_tokenizer.pad_id)

    def loss(self, decoded: Decoded, batch: Batch) -> Tensor:
        """Returns the mean negative log-likelihood of the real target ids in nats, smoothed, for training."""
        assert batch.targets is not None
        return self.head.loss(decoded.outputs.flatten(0, 1), batch.targets.flatten())

    def log_probs(self, decoded: Decoded, batch: Batch) -> Tensor:
        """Returns (batch, target_time) float32: each target's log-likelihood in nats, 0 beyond each row's length."""
        assert batch.targets is not None
        mask = batch.targets != IGNORED
        values = decoded.outputs.new_zeros(mask.shape, dtype=torch.float32)
        values[mask] = -self.head.nll(decoded.outputs[mask], batch.targets[mask]).float()
        return values

    # Decoding: the targets are to be found

    def read(self, batch: Batch) -> tuple[State, Keys]:
        """Reads the sources of a batch; returns the decoder's first state and its keys, a row for each source."""
        memory, _ = self.encode(batch)
        summary = self.encoder.summary(memory, batch.lengths)
        return self.decoder.begin(memory, batch.lengths, summary)

    def step(self, ids: Tensor, state: State, keys: Keys) -> tuple[Tensor, State]:
        """Maps the last id of each row (rows,) and the state before it to the logits (rows, vocab_size) of the next."""
        embedded = self.target_embedder({"ids": ids.unsqueeze(1)}, torch.ones_like(ids))
        outputs, state = self.decoder.step(embedded.squeeze(1), state, keys)
        return self.head.logits(outputs), state

    def decode(self, logits: Tensor, batch: Batch) -> Tensor:
        """Returns the likeliest id of each step (batch, target_time), given the true ids before it."""
        return self.head.logits(logits.flatten(0, 1)).view(*logits.shape[:2], -1).argmax(2)

    def results(self, logits: Tensor, batch: Batch) -> Sequence[dict[str, Any]]:
        """Returns the likeliest id of each step as text, in plain types."""
        ids = self.decode(logits, batch).tolist()
        assert batch.target_lengths is not None
        lengths = batch.target_lengths.tolist()
        return [{"text": self.target_tokenizer.decode(row[:length])} for row, length in zip(ids, lengths, strict=True)]
