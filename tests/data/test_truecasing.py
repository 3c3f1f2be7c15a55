"""The first word of a text in its usual form, and its capital back."""

from __future__ import annotations

import pytest

from seqmodels.data.tokenizer_training import train_tokenizer
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.data.truecasing import Truecaser
from seqmodels.errors import ConfigurationError

TEXTS = ["Two dogs and two cats see Berlin .", "Berlin has dogs .", "The dogs see the two , the cats ."]


def test_the_first_word_is_written_as_elsewhere() -> None:
    truecaser = Truecaser.learn(TEXTS)
    assert truecaser.lower("Two cats") == "two cats"
    assert truecaser.lower('"The cats"') == '"the cats"'
    assert truecaser.lower("Berlin sees two") == "Berlin sees two"  # written so within texts
    assert truecaser.lower("Has it") == "has it"
    assert truecaser.lower("Unheard of") == "Unheard of"
    assert truecaser.lower("see Two") == "see Two"  # the first word alone
    assert truecaser.lower("") == ""
    assert truecaser.lower(" - ") == " - "


def test_a_form_that_is_no_more_frequent_does_not_count() -> None:
    assert Truecaser.learn(["a May may", "b May", "c may"]).lower("May I") == "May I"
    assert Truecaser.learn(["a May may", "b may"]).lower("May I") == "may I"


@pytest.mark.parametrize(
    ("text", "restored"),
    [
        ("two dogs", "Two dogs"),
        ('"the cats"', '"The cats"'),
        ("3 dogs", "3 Dogs"),
        ("élan", "Élan"),
        ("", ""),
        ("…", "…"),
    ],
)
def test_a_text_gets_its_capital_back(text: str, restored: str) -> None:
    assert Truecaser({}).restore(text) == restored


@pytest.mark.parametrize("spec", [{"name": "bpe", "vocab_size": 300}, {"name": "unigram", "vocab_size": 300}, "word"])
def test_a_tokenizer_reads_both_forms_alike_and_writes_the_capital(spec: str | dict[str, object]) -> None:
    spec = {"name": spec} if isinstance(spec, str) else spec
    trained = train_tokenizer({**spec, "truecase": True}, texts=iter(TEXTS))
    tokenizer = Tokenizer.from_record(trained.to_record())
    assert tokenizer == trained
    upper, lower = tokenizer.encode_texts(["Two dogs see Berlin .", "two dogs see Berlin ."])
    assert upper == lower
    assert tokenizer.decode(upper) == "Two dogs see Berlin ."
    assert tokenizer.split(["Two dogs"]) == tokenizer.split(["two dogs"])
    plain = train_tokenizer(spec, texts=TEXTS)
    assert plain.encode_texts(["Two dogs"]) != plain.encode_texts(["two dogs"])
    assert "casing" not in plain.to_record()


def test_rows_of_words_have_no_first_word_of_a_text() -> None:
    with pytest.raises(ConfigurationError, match="truecase: true needs raw texts"):
        train_tokenizer({"name": "word", "truecase": True}, words=[["Two", "dogs"]])
