"""The embedder that joins whatever the schema offers: tokens, characters, features."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from seqmodels.data.schema import Schema
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.data.vectors import read_vectors
from seqmodels.dropout import EmbeddingDropout, LockedDropout, check_dropout, drop_words
from seqmodels.embedders.character_encoder import (
    CharacterEncoderSpec,
    character_encoder_registry,
    uniform_embedding,
)
from seqmodels.embedders.embedder import Embedder, register_embedder
from seqmodels.errors import ConfigurationError, DataError


@register_embedder("embedding")
class Embedding(Embedder):
    """Tokens from a table, characters from a character encoder, features normalised, positions; joined at each step.

    Args:
        schema: what the inputs hold.
        embedding_dim: features of each token's vector; that of the file, where `vectors` is given.
        characters: how a word's characters become a vector, where the data has them (`recurrent` or `cnn`).
        vectors: file of pretrained vectors (GloVe, word2vec or fastText text form, `.gz` or not) that the table
            starts from; read once, when training starts. Words that it lacks start at random.
        freeze_vectors: whether the table stays as it is then, the words that the file lacks included.
        dropout: share of the features of each step set to zero in training, in [0, 1).
        locked_dropout: whether the same features are dropped at all steps of a row.
        word_dropout: share of the tokens replaced by the unknown one in training, in [0, 1), so that its vector is
            trained; their characters stay.
        embedding_dropout: share of the table's rows set to zero in a training step, in [0, 1).
        positions: number of steps that each have a learnt vector of their own beside the token's, for sequences cut to
            the same frame (a window of DNA, a form of fixed fields); later steps share the last one. None for none.
        position_dim: features of those vectors.
        feature_dim: features that a linear layer makes of the normalised ones, where the data has features; None
            leaves them as they are.

    Raises:
        ConfigurationError: an option is out of range, or there is nothing in the data that it could act on.

    Reference:
        Lample et al. (2016), Neural architectures for named entity recognition (words and characters);
        Gal and Ghahramani (2016), A theoretically grounded application of dropout in recurrent neural networks.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        schema: Schema,
        *,
        embedding_dim: int = 128,
        characters: CharacterEncoderSpec = "recurrent",
        vectors: str | None = None,
        freeze_vectors: bool = False,
        dropout: float = 0.0,
        locked_dropout: bool = False,
        word_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        positions: int | None = None,
        position_dim: int = 32,
        feature_dim: int | None = None,
    ) -> None:
        sizes = {"embedding_dim": embedding_dim, "positions": positions, "position_dim": position_dim}
        for name, size in (*sizes.items(), ("feature_dim", feature_dim)):
            if size is not None and (not isinstance(size, int) or size < 1):
                raise ConfigurationError(f"embedding: {name} must be a positive integer, got {size!r}")
        if vectors is not None and schema.tokens is None:
            raise ConfigurationError("embedding: vectors needs data made of words, the data has features only")
        if freeze_vectors and vectors is None:
            raise ConfigurationError("embedding: freeze_vectors: true needs vectors, the path of a file of them")
        super().__init__(0, stepwise=positions is None, vectors=vectors)
        self.word_dropout = check_dropout("embedding: word_dropout", word_dropout)
        check_dropout("embedding: dropout", dropout)
        check_dropout("embedding: embedding_dropout", embedding_dropout)
        self.dropout = LockedDropout(dropout) if locked_dropout else nn.Dropout(dropout)
        self.tokenizer = schema.tokens.tokenizer if schema.tokens else None
        self.tokens = self.characters = None
        if self.tokenizer is not None:
            table = _token_table(self.tokenizer, embedding_dim)
            table.weight.requires_grad_(not freeze_vectors)
            self.tokens = EmbeddingDropout(table, embedding_dropout)
            self.output_size += embedding_dim
        if schema.characters is not None:
            self.characters = character_encoder_registry.create(characters, schema.characters.size)
            self.output_size += self.characters.output_size
        self.positions = None
        if positions is not None:
            self.positions = uniform_embedding(positions, position_dim, None)
            self.output_size += position_dim
        self.projection = None
        if schema.features is not None:
            self.register_buffer("mean", torch.tensor(schema.features.mean, dtype=torch.float32))
            self.register_buffer("std", torch.tensor(schema.features.std, dtype=torch.float32))
            self.projection = nn.Linear(schema.features.size, feature_dim) if feature_dim else nn.Identity()
            self.output_size += feature_dim or schema.features.size

    def forward(self, inputs: dict[str, Tensor], lengths: Tensor) -> Tensor:
        """Embeds a batch; see `Embedder.forward`."""
        parts = []
        if self.tokens is not None and self.tokenizer is not None:
            ids = inputs["ids"]  # (batch, time)
            if self.training:
                ids = drop_words(ids, lengths, self.word_dropout, self.tokenizer.unk_id)
            parts.append(self.tokens(ids))
        if self.characters is not None:
            spelled = self.characters(inputs["characters"], inputs["character_lengths"])  # (forms, size)
            parts.append(_rows(spelled, inputs["forms"]))
        if self.projection is not None:
            parts.append(self.projection((inputs["features"] - self.mean) / self.std))
        if self.positions is not None:
            steps = torch.arange(parts[0].size(1), device=lengths.device).clamp(max=self.positions.num_embeddings - 1)
            parts.append(self.positions(steps).expand(lengths.size(0), -1, -1))
        return self.dropout(torch.cat(parts, dim=2) if len(parts) > 1 else parts[0])  # type: ignore[no-any-return]

    def token_weights(self) -> nn.Parameter | None:
        """Returns the table of token vectors (vocab_size, embedding_dim); None for data without tokens."""
        return None if self.tokens is None else cast(nn.Parameter, self.tokens.embedding.weight)

    def load_vectors(self, path: str) -> dict[str, int]:
        """Copies pretrained vectors into the table; returns how many words were `found`, of how many in `vocabulary`.

        Raises:
            ConfigurationError: there are no tokens, or the file's vectors have another size than `embedding_dim`.
            DataError: the file cannot be read (see `read_vectors`), or has none of the words.
        """
        weight = self.token_weights()
        if self.tokenizer is None or weight is None:
            return super().load_vectors(path)
        tokenizer = self.tokenizer
        special = {tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id}
        words = {word: id for word, id in tokenizer.vocabulary.items() if id not in special}
        ids, matrix = read_vectors(path, words)
        if matrix.shape[1] != weight.size(1):
            raise ConfigurationError(
                f"embedding: embedding_dim is {weight.size(1)}, the vectors in {path} have {matrix.shape[1]} features; "
                f"set embedding_dim: {matrix.shape[1]}"
            )
        if not len(ids):
            raise DataError(
                f"{path}: holds none of the {len(words)} words of the training data; is it of the right language, and "
                f"the tokenizer a `word` one?"
            )
        with torch.no_grad():
            weight[torch.from_numpy(ids)] = torch.from_numpy(matrix).to(weight)
        return {"found": len(ids), "vocabulary": len(words)}


def _token_table(tokenizer: Tokenizer, embedding_dim: int) -> nn.Embedding:
    # A pretrained tokenizer may pad with a token that it also uses, whose vector must be trained.
    in_use = {tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id}
    return uniform_embedding(
        tokenizer.vocab_size, embedding_dim, None if tokenizer.pad_id in in_use else tokenizer.pad_id
    )


def _rows(vectors: Tensor, rows: Tensor) -> Tensor:
    """Returns the `vectors` (forms, size) of `rows` (batch, time) (batch, time, size); zeros if there are no forms."""
    if vectors.size(0) == 0:
        return vectors.new_zeros(*rows.shape, vectors.size(1))
    return nn.functional.embedding(rows, vectors)
