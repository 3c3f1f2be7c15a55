"""Label and text, CoNLL columns and CoNLL-U."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqmodels.data.readers import ConllReader, ConlluReader, LabelTextReader, read_examples
from seqmodels.errors import ConfigurationError, DataError

Write = Callable[[str, "str | bytes"], Path]


def read(reader: Any, path: Path, targets: bool = True) -> list[Any]:
    return list(read_examples(reader, path, targets=targets))


def test_coarse_labels_in_an_old_encoding(write: Write) -> None:
    path = write("TREC.train", "DESC:manner\tWho is Zoë ?\n\nNUM:date  When ?".encode("iso-8859-1"))
    coarse = LabelTextReader(label_separator=":", encoding="iso-8859-1")
    assert read(coarse, path) == [{"text": "Who is Zoë ?", "label": "DESC"}, {"text": "When ?", "label": "NUM"}]
    assert read(LabelTextReader(encoding="iso-8859-1"), path)[1]["label"] == "NUM:date"


def test_a_label_without_text(write: Write) -> None:
    with pytest.raises(DataError, match=r"x.txt:2: expected a label, a space and text, found only '1'"):
        read(LabelTextReader(), write("x.txt", "0 a\n1 \n"))
    with pytest.raises(ConfigurationError, match="label_separator must be at least one character"):
        LabelTextReader(label_separator="")


def test_columns_of_conll_2003(write: Write) -> None:
    path = write("x", "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nNo DT O O\n \t\n")
    assert read(ConllReader(), path) == [
        {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]},
        {"tokens": ["No"], "tags": ["O"]},
    ]
    assert read(ConllReader(tag_column=1), path)[0]["tags"] == ["NNP", "VBZ"]
    assert read(ConllReader(token_column=-1, tag_column=0), path)[1] == {"tokens": ["O"], "tags": ["No"]}


def test_tabs_keep_spaces_in_tokens_and_hashes_are_tokens(write: Write) -> None:
    path = write("x", "New York\tB\n#tag\tO\n\t\n\u00a0\tO\n")
    assert [example["tokens"] for example in read(ConllReader(), path)] == [["New York", "#tag"], ["\u00a0"]]
    path = write("y", "# a comment, with spaces\na\tO\n")
    assert read(ConllReader(comment="# "), path) == [{"tokens": ["a"], "tags": ["O"]}]


def test_one_column_is_enough_for_prediction(write: Write) -> None:
    path = write("x", "a\nb\n\nc\n")
    assert read(ConllReader(), path, targets=False) == [{"tokens": ["a", "b"]}, {"tokens": ["c"]}]
    message = "x:1: expected columns separated by tabs or spaces (token in column 0, tag in column -1), found 1: ['a']"
    with pytest.raises(DataError, match=re.escape(message)):
        read(ConllReader(), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tX\nb\tY\tZ\n", "x:2: expected 2 tab-separated columns as in line 1, found 3"),
        ("a X\n# a b\n", "x:2: expected 2 space-separated columns as in line 1, found 3; if lines that begin with #"),
        (
            "# a\na X Y\n",
            "x:2: expected 2 space-separated columns as in line 1, found 3; .* give the reader comment: '#'",
        ),
        ("#\na X\n", "x:1: expected columns .* found 1: .*; if lines that begin with # are comments"),
        ("a X\n\nb\n", "x:3: expected 2 space-separated columns as in line 1, found 1"),
        ("a\tX\n\tX\n", r"x:2: expected a token and a tag, found '\\tX'"),
        ("a\t\n", r"x:1: expected a token and a tag, found 'a\\t'"),
    ],
)
def test_a_wrong_line(content: str, message: str, write: Write) -> None:
    with pytest.raises(DataError, match=message):
        read(ConllReader(), write("x", content))


def test_wrong_columns(write: Write) -> None:
    with pytest.raises(ConfigurationError, match="token_column and tag_column must differ, got 1 for both"):
        ConllReader(token_column=1, tag_column=1)
    with pytest.raises(ConfigurationError, match="comment must be at least one character"):
        ConllReader(comment="")
    with pytest.raises(DataError, match="tag in column 7"):
        read(ConllReader(tag_column=7), write("x", "a\tX\n"))


CONLLU = """\
# newdoc
# sent_id = s-1
# text = au chat
1-2\tau\t_\t_\t_\t_\t_\t_\t_\t_
1\tà\tà\tADP\t_\t_\t3\tcase\t_\t_
2\tle\tle\tDET\t_\tGender=Masc|Number=Sing\t3\tdet\t_\t_
3\tchat\tchat\tNOUN\tN\tNumber=Sing\t0\troot\t_\t_
3.1\tvu\t_\t_\t_\t_\t_\t_\t_\t_

1\tNon\tnon\tINTJ\t_\t_\t0\troot\t_\t_
"""


@pytest.mark.parametrize(
    ("label", "tags"),
    [
        ("upos", ["ADP", "DET", "NOUN"]),
        ("xpos", ["_", "_", "N"]),
        ("deprel", ["case", "det", "root"]),
        ("lemma", ["à", "le", "chat"]),
        ("feats", ["_", "Gender=Masc|Number=Sing", "Number=Sing"]),
        ("feats.Gender", ["_", "Masc", "_"]),
        ("feats.Number", ["_", "Sing", "Sing"]),
    ],
)
def test_any_field_is_the_tag(label: str, tags: list[str], write: Write) -> None:
    examples = read(ConlluReader(label=label), write("x.conllu", CONLLU))
    assert examples[0] == {"tokens": ["à", "le", "chat"], "tags": tags, "id": "s-1"}
    assert examples[1]["tokens"] == ["Non"]
    assert "id" not in examples[1]


def test_prediction_reads_the_words(write: Write) -> None:
    examples = read(ConlluReader(), write("x.conllu", CONLLU), targets=False)
    assert examples == [{"tokens": ["à", "le", "chat"], "id": "s-1"}, {"tokens": ["Non"]}]


@pytest.mark.parametrize("label", ["upso", "upos.Number", "feats."])
def test_an_unknown_field(label: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"label must be a field of CoNLL-U .* got '{label}'"):
        ConlluReader(label=label)


def test_rows_that_are_no_conllu(write: Write) -> None:
    message = "x.conllu:2: expected 10 tab-separated columns (id, form, lemma"
    with pytest.raises(DataError, match=re.escape(message)):
        read(ConlluReader(), write("x.conllu", "# text = a\n1\ta\tDET\n"))
    with pytest.raises(DataError, match=r"x.conllu:1: expected an id such as 3, 3-4 or 3.1, found 'one'"):
        read(ConlluReader(), write("x.conllu", "one" + "\t_" * 9))


word = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"]), min_size=1).filter(lambda word: word[0] != "-")


@given(st.lists(st.lists(st.tuples(word, word), min_size=1), min_size=1), st.sampled_from(["\t", " "]))
def test_what_is_written_comes_back(sentences: list[list[tuple[str, str]]], separator: str) -> None:
    written = "\n".join("".join(f"{token}{separator}{tag}\n" for token, tag in sentence) for sentence in sentences)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(b"\xef\xbb\xbf" + written.encode())
        examples = read(ConllReader(), path)
    found = [list(zip(example["tokens"], example["tags"], strict=True)) for example in examples]
    assert found == sentences
