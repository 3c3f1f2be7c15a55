"""What a model of sequences is asked: at each step, what comes next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seqmodels.data.encoded import Encoded
from seqmodels.data.ragged import Array, Ragged
from seqmodels.data.readers import Example
from seqmodels.data.schema import ExampleError, FeatureInput, Schema, build_schema
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.errors import ConfigurationError
from seqmodels.registry import Spec


@dataclass(frozen=True)
class Units:
    """How large a text is, so that a loss in nats can be put in terms that do not depend on the tokenizer.

    An unknown word counts with all its characters, of which the model predicts no more than that it is unknown: such
    terms compare vocabularies that leave out equally much.

    Attributes:
        tokens: tokens that are predicted, the ends of texts among them.
        words: words between white space, and one for each end.
        characters: Unicode characters, and one for each end.
    """

    tokens: int
    words: int
    characters: int


def build_next_step_schema(examples: Iterable[Example], *, inputs: str, tokenizer: Spec) -> Schema:
    """Builds the schema of sequences whose next step is to be predicted: tokens, or frames of 0 and 1.

    Raises:
        ConfigurationError: the tokenizer has no token for the end of a text.
        DataError: there are no examples.
    """
    schema = build_schema(examples, inputs=inputs, target=None, tokenizer=tokenizer)
    if schema.features is not None:
        size = schema.features.size
        return Schema(None, None, FeatureInput(size, (0.0,) * size, (1.0,) * size), None)
    assert schema.tokens is not None
    end_of_text(schema.tokens.tokenizer)
    return replace(schema, framed=False)  # a text has one end, which is put behind it here, and no beginning


def end_of_text(tokenizer: Tokenizer) -> int:
    """Returns the id that ends a text, and that the first token of the next is predicted from.

    Raises:
        ConfigurationError: the tokenizer has none.
    """
    if tokenizer.eos_id is None:
        raise ConfigurationError(
            "a language model needs a tokenizer with an end token (eos), which this pretrained one lacks; "
            "choose another"
        )
    return tokenizer.eos_id


def append_end(encoded: Encoded, schema: Schema) -> Encoded:
    """Returns texts (rows of ids) each with the end token behind it; features as they are."""
    if encoded.ids is None or schema.tokens is None:
        return encoded
    return Encoded(ids=_append(encoded.ids, end_of_text(schema.tokens.tokenizer)))


def to_next_step(encoded: Encoded, schema: Schema) -> Encoded:
    """Returns each row as inputs and targets: each token, and the end, from the end token and what came before it;
    each frame from a frame of zeros and those before it.

    Raises:
        ExampleError: a feature is neither 0 nor 1; it knows its row, but not the example.
    """
    if schema.tokens is not None:
        assert encoded.ids is not None
        end = end_of_text(schema.tokens.tokenizer)
        return Encoded(ids=_prepend(encoded.ids, end), targets=_append(encoded.ids, end))
    frames = encoded.features
    assert frames is not None
    wrong = ((frames.values != 0) & (frames.values != 1)).any(axis=1)
    if wrong.any():
        row = int(np.searchsorted(frames.offsets, int(wrong.argmax()), side="right")) - 1
        raise ExampleError(
            *(Example(), row),
            "expected frames of 0 and 1 (a note sounds or not), found other numbers; a model of sequences of real "
            "numbers is a forecaster",
        )
    shifted = np.zeros_like(frames.values)
    shifted[1:] = frames.values[:-1]
    starts = frames.offsets[:-1][frames.lengths() > 0]
    shifted[starts] = 0
    return Encoded(features=Ragged(shifted, frames.offsets), targets=frames)


def count_units(examples: Iterable[Example], tokens: int) -> Units | None:
    """Counts words and characters of the examples, whose tokens are known; None for features.

    Args:
        examples: of a split.
        tokens: how many tokens are predicted of them, the end of each example among them.
    """
    words = characters = 0
    for example in examples:
        if "features" in example:
            return None
        pretokenized: list[str] | None = example.get("tokens")
        words += (len(example["text"].split()) if pretokenized is None else len(pretokenized)) + 1
        text = example["text"] if pretokenized is None else " ".join(pretokenized)
        characters += len(text) + 1
    return Units(tokens, words, characters)


def _append(rows: Ragged, value: Any) -> Ragged:
    return _extend(rows, value, rows.offsets[1:])


def _prepend(rows: Ragged, value: Any) -> Ragged:
    return _extend(rows, value, rows.offsets[:-1])


def _extend(rows: Ragged, value: Any, places: Array) -> Ragged:
    return Ragged(np.insert(rows.values, places, value), rows.offsets + np.arange(len(rows) + 1))
