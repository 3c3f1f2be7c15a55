from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from seqmodels.data.encoded import IGNORED, UNSEEN
from seqmodels.data.readers import Example
from seqmodels.data.schema import CharacterInput, Schema, Target, build_pair_schema, build_schema
from seqmodels.errors import ConfigurationError, DataError

TAGGED: list[Example] = [
    {"tokens": ["the", "cat", "sat"], "tags": ["D", "N", "V"]},
    {"tokens": ["the", "mat"], "tags": ["D", "N"], "mask": [True, False]},
    {"tokens": [], "tags": []},
]
LABELLED: list[Example] = [{"text": "good film", "label": "pos"}, {"text": "bad", "label": "neg"}]
FEATURES: list[Example] = [
    {"features": [[1.0, 10.0], [3.0, 10.0]], "label": "a"},
    {"features": [[5.0, 10.0]], "label": "b"},
]


def schema_of(examples: list[Example], inputs: str, target: Any, **arguments: Any) -> Schema:
    return build_schema(examples, inputs=inputs, target=target, **arguments)


def test_words_and_tags():
    schema = schema_of(TAGGED, "tokens", "tags")
    assert schema.pretokenized
    assert schema.target == Target("tags", ("D", "N", "V"), (2, 1, 1)), "a masked tag is not counted"
    encoded = schema.encode(TAGGED)
    assert encoded.ids.lengths().tolist() == [3, 2, 0]
    assert [encoded.targets[row].tolist() for row in range(3)] == [[0, 1, 2], [0, IGNORED], []]
    assert encoded.word_starts is None
    assert schema.tokens.tokenizer.decode(encoded.ids[0].tolist()) == "the cat sat"


def test_unseen_words_characters_and_tags_get_their_own_ids():
    schema = schema_of(TAGGED, "tokens", "tags", characters=True)
    encoded = schema.encode([{"tokens": ["the", "xyt"], "tags": ["D", "X"]}])
    assert encoded.ids[0][1] == schema.tokens.tokenizer.unk_id != encoded.ids[0][0]
    assert encoded.targets[0].tolist() == [0, UNSEEN]
    known = schema.characters.vocabulary.index("t") + 2
    assert encoded.characters[1].tolist() == [1, 1, known]


def test_equal_words_share_a_form_everywhere():
    schema = schema_of(TAGGED, "tokens", "tags", characters=True)
    encoded = schema.encode(TAGGED)
    again = schema.encode(TAGGED[1:2])
    assert encoded.forms[0][0] == encoded.forms[1][0] == again.forms[0][0]
    assert len({*encoded.forms.values.tolist()}) == 4
    assert len(encoded.characters) == len(encoded.ids.values)


def test_an_empty_word_has_one_unknown_character():
    schema = schema_of(TAGGED, "tokens", "tags", characters=True)
    assert schema.encode([{"tokens": [""], "tags": ["D"]}]).characters[0].tolist() == [1]


def test_a_long_word_keeps_its_first_and_last_half():
    characters = CharacterInput(("a",), max_length=5)
    assert characters.clip("abcdefgh") == "abfgh"
    assert characters.clip("abcde") == "abcde"
    assert characters.size == 3


def test_pieces_of_words():
    schema = schema_of(TAGGED, "tokens", "tags", tokenizer="character")
    encoded = schema.encode(TAGGED)
    assert encoded.word_starts.lengths().tolist() == [3, 2, 0]
    assert encoded.targets.lengths().tolist() == [3, 2, 0]


@pytest.mark.parametrize("characters", [False, True])
def test_texts_and_labels(characters: bool):
    schema = schema_of(LABELLED, "text", "label", characters=characters)
    assert schema.target.names == ("neg", "pos")
    encoded = schema.encode([*LABELLED, {"text": "", "label": "new"}])
    assert encoded.targets.tolist() == [1, 0, UNSEEN]
    assert encoded.ids.lengths().tolist() == [2, 1, 0]
    if characters:
        assert encoded.forms.lengths().tolist() == [2, 1, 0]


def test_several_labels():
    examples: list[Example] = [{"text": "x", "labels": ["b", "a"]}, {"text": "y", "labels": []}]
    schema = schema_of(examples, "text", "labels")
    encoded = schema.encode([*examples, {"text": "z", "labels": ["new", "b"]}])
    assert encoded.targets.tolist() == [[1, 1], [0, 0], [0, 1]]


def test_features_are_measured():
    schema = schema_of(FEATURES, "features", "label")
    assert schema.features.size == 2
    assert schema.features.mean == pytest.approx((3, 10))
    assert schema.features.std == pytest.approx((np.std([1, 3, 5]), 1)), "a constant feature is divided by 1"
    encoded = schema.encode(FEATURES)
    assert encoded.features.values.tolist() == [[1, 10], [3, 10], [5, 10]]


def test_targets_may_be_left_out():
    schema = schema_of(LABELLED, "text", "label")
    assert schema.encode([{"text": "good"}], targets=False).targets is None
    assert schema_of(LABELLED, "text", None).encode(LABELLED).targets is None


PAIRS: list[Example] = [{"text": "a cat", "target_text": "eine Katze"}, {"text": "no", "target_text": "nein"}]


@pytest.mark.parametrize("shared", [True, False])
def test_texts_to_be_written_end(shared: bool):
    schema = build_pair_schema(Anew(PAIRS), tokenizer="word", shared=shared)
    assert schema.shares_vocabulary is shared
    encoded = schema.encode([*PAIRS, {"text": "", "target_text": ""}])
    assert schema.target_tokens is not None
    assert encoded.target_ids is not None
    tokens = schema.target_tokens.tokenizer.tokens
    written = [tokens(encoded.target_ids[row].tolist()) for row in range(3)]
    assert written == [["eine", "Katze", "</s>"], ["nein", "</s>"], ["</s>"]]
    assert schema.encode([{"text": "a"}], targets=False).target_ids is None
    assert encoded.sides().tolist() == [[2, 3], [1, 2], [0, 1]]
    record = schema.to_record()
    assert _is_plain(record)
    again = Schema.from_record(record)
    assert again == schema
    assert again.shares_vocabulary is shared
    with pytest.raises(DataError, match="example 8: expected the key 'target_text', found: text"):
        schema.encode([{"text": "a"}], first=7)


class Anew:
    """An iterable that is no list, as a data set on disk is none."""

    def __init__(self, examples: list[Example]) -> None:
        self.examples = examples

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)


def test_each_side_may_have_a_recipe():
    schema = build_pair_schema(PAIRS, tokenizer="word", target_tokenizer={"name": "character", "lowercase": True})
    assert schema.target_tokens is not None
    assert schema.tokens is not None
    assert (schema.tokens.tokenizer.kind, schema.target_tokens.tokenizer.kind) == ("word", "character")
    assert "k" in schema.target_tokens.tokenizer.vocabulary


def test_pairs_without_a_text_on_a_side():
    with pytest.raises(DataError, match="tokenizer 'word': the training data holds no words"):
        build_pair_schema([{"text": "a", "target_text": ""}], tokenizer="word")


@pytest.mark.parametrize(
    ("examples", "inputs", "target", "arguments"),
    [
        (TAGGED, "tokens", "tags", {"characters": True}),
        (TAGGED, "tokens", "tags", {"tokenizer": "character"}),
        (LABELLED, "text", "label", {}),
        (FEATURES, "features", "label", {}),
        (LABELLED, "text", None, {}),
    ],
)
def test_record_is_plain_and_makes_the_same_schema(
    examples: list[Example], inputs: str, target: str | None, arguments: dict[str, Any]
):
    schema = schema_of(examples, inputs, target, **arguments)
    record = schema.to_record()
    again = Schema.from_record(record)
    assert again == schema
    assert again.to_record() == record
    assert _is_plain(record)
    for name, column in vars(schema.encode(examples)).items():
        other = getattr(again.encode(examples), name)
        if column is not None:
            np.testing.assert_array_equal(getattr(column, "values", column), getattr(other, "values", other))


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


def test_refuses_features_of_another_size():
    schema = schema_of(FEATURES, "features", "label")
    with pytest.raises(DataError, match="example 8: expected 2 features a step, as in training, got 3"):
        schema.encode([{"features": [[1.0, 2.0, 3.0]], "label": "a"}], first=7)
    with pytest.raises(DataError, match="example 3: expected 2 features a step, got 1"):
        schema_of([*FEATURES, {"features": [[1.0]], "label": "a"}], "features", "label")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ([1.0, math.nan], "expected finite numbers .float32., found nan in feature 2 of step 2; mend the value"),
        ([-math.inf, 1.0], "expected finite numbers .float32., found -inf in feature 1 of step 2"),
        ([1e39, 1.0], r"expected finite numbers .float32., found 1e\+39 in feature 1"),
        (["x", 1.0], "expected as many numbers at every step: could not convert"),
    ],
)
def test_refuses_features_that_are_no_finite_numbers(step: list[Any], message: str):
    example: Example = {"features": [[1.0, 2.0], step], "label": "a"}
    schema = schema_of(FEATURES, "features", "label")
    with pytest.raises(DataError, match=f"example 8: {message}"):
        schema.encode([example], targets=False, first=7)
    with pytest.raises(DataError, match=f"example 3: {message}"):
        schema_of([*FEATURES, example], "features", "label")


@pytest.mark.parametrize(
    ("examples", "inputs", "target", "example", "message"),
    [
        (LABELLED, "text", "label", {"label": "pos"}, "example 6: expected the key 'text', found: label"),
        (LABELLED, "text", "label", {"text": "x"}, "example 6: expected the key 'label', found: text"),
        (LABELLED, "text", "label", {"text": "x", "id": "q7"}, "example 'q7': expected the key 'label'"),
        (TAGGED, "tokens", "tags", {"tokens": ["x"]}, "example 6: expected the key 'tags', found: tokens"),
        (TAGGED, "tokens", "tags", {"tokens": ["x"], "tags": ["D", "N"]}, "example 6: expected 1 tags, .* found 2"),
        (
            *(TAGGED, "tokens", "tags"),
            {"tokens": ["x"], "tags": ["D"], "mask": [True, False]},
            "example 6: expected 1 entries of mask, one for each tag, found 2",
        ),
        (FEATURES, "features", "label", {"label": "a"}, "example 6: expected the key 'features', found: label"),
    ],
)
def test_refuses_examples_that_lack_something(
    examples: list[Example], inputs: str, target: str, example: Example, message: str
):
    with pytest.raises(DataError, match=message):
        schema_of(examples, inputs, target).encode([examples[0], example], first=4)


@pytest.mark.parametrize(
    ("examples", "inputs", "target", "message"),
    [
        ([{"text": "x", "labels": []}], "text", "labels", "the training data has no labels; expected at least one"),
        ([{"features": [], "label": "a"}], "features", "label", "the training data has no features"),
        ([{"text": "x"}], "text", "label", "example 1: expected the key 'label'"),
    ],
)
def test_refuses_training_data_without_anything_to_learn(
    examples: list[Example], inputs: str, target: str, message: str
):
    with pytest.raises(DataError, match=message):
        schema_of(examples, inputs, target)


def test_characters_need_words():
    with pytest.raises(ConfigurationError, match="needs text or words, but the reader gives feature sequences"):
        schema_of(FEATURES, "features", "label", characters=True)
    with pytest.raises(ConfigurationError, match="needs tokenizer: word, got 'character'"):
        schema_of(LABELLED, "text", "label", characters=True, tokenizer="character")
