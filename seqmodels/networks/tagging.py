"""Tagging: one tag for each token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqmodels.crf import CRF, decode_constrained
from seqmodels.data.batch import Batch
from seqmodels.data.encoded import IGNORED
from seqmodels.data.schema import Schema
from seqmodels.errors import ConfigurationError
from seqmodels.masking import lengths_to_mask
from seqmodels.networks.network import Network, register_network
from seqmodels.registry import Spec
from seqmodels.tags import allowed_transitions, detect_scheme


@register_network("tagging")
class TaggingNetwork(Network):
    """Maps the encoder's output at each word to one logit for each tag, decoded alone or together.

    Where tags mark chunks (BIO or IOBES), decoding never returns a sequence that the scheme forbids.

    Args:
        schema: target kind "tags".
        encoder: the encoder, by name with its arguments.
        embedder: the embedder, by name with its arguments.
        crf: whether a linear-chain conditional random field scores the tags together; else each by itself.
        constrained: whether chunk tags are held to their scheme; without effect on other tags.
        dropout: fraction of the encoder's outputs dropped in training, in [0, 1).
    """

    def __init__(
        self,
        schema: Schema,
        *,
        encoder: Spec = "lstm",
        embedder: Spec = "embedding",
        crf: bool = False,
        constrained: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(schema, encoder=encoder, embedder=embedder)
        if self.target.kind != "tags":
            raise ConfigurationError("tagging needs one tag a token, but the data has labels; use SequenceClassifier")
        names = self.target.names
        scheme = detect_scheme(names) if constrained else None
        self.constraints = None if scheme is None else allowed_transitions(names, scheme)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(self.encoder.output_size, len(names))
        self.crf = CRF(len(names), constraints=self.constraints) if crf else None

    def forward(self, batch: Batch) -> Tensor:
        """Returns logits (batch, words, tags)."""
        outputs, _ = self.encode(batch)  # (batch, time, output_size)
        if batch.word_starts is not None:
            index = batch.word_starts.unsqueeze(2).expand(-1, -1, outputs.size(2))
            outputs = outputs.gather(1, index)  # (batch, words, output_size)
        return self.output(self.dropout(outputs))  # type: ignore[no-any-return]

    def decode(self, logits: Tensor, batch: Batch) -> Tensor:
        """Returns tags (batch, words); `IGNORED` beyond each row's length."""
        lengths = batch.tag_lengths()
        if self.crf is not None:
            tags = self.crf.decode(logits, lengths)
        elif self.constraints is not None:
            tags = decode_constrained(logits.float(), lengths, self.constraints)
        else:
            tags = logits.argmax(2)
        return tags.masked_fill(~lengths_to_mask(lengths, tags.size(1)), IGNORED)

    def probabilities(self, logits: Tensor, batch: Batch) -> Tensor:
        """Returns each word's distribution over tags (batch, words, tags): the CRF's marginals, or the softmax."""
        if self.crf is not None:
            return self.crf.marginals(logits, batch.tag_lengths())
        return torch.softmax(logits.float(), dim=2)

    def n_best(self, logits: Tensor, batch: Batch, n: int) -> list[list[tuple[list[str], float]]]:
        """Returns, for each row, its `n` likeliest tag sequences with log probabilities in nats, best first.

        There are fewer where a row, or its tags' scheme, allows no more.

        Raises:
            ConfigurationError: the network has no CRF, or `n` is not positive.
        """
        if self.crf is None:
            raise ConfigurationError("n-best tagging needs a tagger trained with crf: true")
        lengths = batch.tag_lengths()
        tags, scores = self.crf.decode_n_best(logits, lengths, n)  # (batch, n, words), (batch, n)
        likelihoods = scores - self.crf.log_partition(logits, lengths).unsqueeze(1)
        rows = zip(tags.tolist(), likelihoods.tolist(), lengths.tolist(), strict=True)
        return [
            [
                ([self.target.names[tag] for tag in path[:length]], likelihood)
                for path, likelihood in zip(paths, found, strict=True)
                if likelihood != float("-inf")
            ]
            for paths, found, length in rows
        ]

    def results(self, logits: Tensor, batch: Batch) -> list[dict[str, Any]]:
        """Returns `tags` for each row."""
        names = self.target.names
        lengths = batch.tag_lengths().tolist()
        decoded = self.decode(logits, batch).tolist()
        return [{"tags": [names[tag] for tag in row[:length]]} for row, length in zip(decoded, lengths, strict=True)]
