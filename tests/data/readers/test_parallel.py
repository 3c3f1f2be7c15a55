"""Two files line by line: which files a path stands for, and what is said where they do not fit."""

from __future__ import annotations

import gzip
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqmodels.data.readers import ParallelReader, read_examples
from seqmodels.data.store import load_examples
from seqmodels.errors import ConfigurationError, DataError

Write = Callable[[str, "str | bytes"], Path]
ENDINGS = {"source": "en", "target": "de"}
PAIRS = [{"text": "a cat", "target_text": "eine Katze"}, {"text": "No!", "target_text": "Nein – wörtlich"}]
ENGLISH, GERMAN = ("".join(f"{pair[key]}\n" for pair in PAIRS).encode() for key in ("text", "target_text"))


def read(path: str | Path, targets: bool = True, **arguments: Any) -> list[Any]:
    return list(read_examples(ParallelReader(**(arguments or ENDINGS)), path, targets=targets))


@pytest.mark.parametrize("source", [".en", ".en.gz"])
@pytest.mark.parametrize("target", [".de", ".de.gz"])
def test_a_path_is_what_both_names_begin_with(source: str, target: str, write: Write, tmp_path: Path) -> None:
    for ending, content in ((source, ENGLISH), (target, GERMAN)):
        write(f"train.v1{ending}", gzip.compress(content) if ending.endswith("gz") else content)
    assert read(tmp_path / "train.v1") == PAIRS
    assert read(tmp_path / f"train.v1{source}") == PAIRS, "the name of the one tells the other"
    assert read(tmp_path / "train.v1", targets=False) == [{"text": "a cat"}, {"text": "No!"}]


def test_a_path_may_hold_variables(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("train.en", ENGLISH)
    write("train.de", GERMAN)
    monkeypatch.setenv("CORPUS", str(tmp_path))
    assert read("$CORPUS/train") == PAIRS
    with pytest.raises(DataError, match="the environment variable NO_SUCH is not set"):
        read("$NO_SUCH/train")


def test_a_folder_of_the_same_name_is_no_hindrance(write: Write, tmp_path: Path) -> None:
    write("train.en", ENGLISH)
    write("train.de", GERMAN)
    (tmp_path / "train").mkdir()
    assert read(tmp_path / "train") == PAIRS


def test_two_paths(write: Write) -> None:
    source, target = write("a.txt", ENGLISH), write("b.txt.gz", gzip.compress(GERMAN))
    assert read(source, target_path=str(target)) == PAIRS
    assert read(source, targets=False, target_path="no such file") == [{"text": "a cat"}, {"text": "No!"}]


def test_prediction_reads_any_file_of_lines(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(write("x.txt", "a\n\nb\n"), targets=False) == [{"text": "a"}, {"text": ""}, {"text": "b"}]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\nb\n")))
    assert read("-", targets=False) == [{"text": "a"}, {"text": "b"}]


@pytest.mark.parametrize("change", ["windows", "mark", "no end"])
def test_what_editors_do_changes_nothing(change: str, write: Write, tmp_path: Path) -> None:
    for ending, raw in ((".en", ENGLISH), (".de", GERMAN)):
        if change == "windows":
            raw = raw.replace(b"\n", b"\r\n")
        write(f"train{ending}", b"\xef\xbb\xbf" + raw if change == "mark" else raw.rstrip(b"\n"))
    assert read(tmp_path / "train") == PAIRS


def test_spaces_are_kept(write: Write, tmp_path: Path) -> None:
    write("train.en", "  a  b \n")
    write("train.de", "\tc\u2028d\x0b\n")
    assert read(tmp_path / "train") == [{"text": "  a  b ", "target_text": "\tc\u2028d\x0b"}]


@pytest.mark.parametrize(("english", "german"), [(5, 2), (2, 5), (2, 0)])
def test_unequal_files(english: int, german: int, write: Write, tmp_path: Path) -> None:
    write("train.en", "x\n" * english)
    write("train.de", "y\n" * german)
    message = rf"train\.en has {english} lines, .*train\.de has {german}; expected as many in both"
    with pytest.raises(DataError, match=message):
        read(tmp_path / "train")


@pytest.mark.parametrize("ending", ["en", "de"])
@pytest.mark.parametrize("empty", ["", "  \t"])
def test_an_empty_line(ending: str, empty: str, write: Write, tmp_path: Path) -> None:
    for one in ("en", "de"):
        write(f"train.{one}", f"x\n{empty if one == ending else 'x'}\nx\n")
    with pytest.raises(
        DataError, match=rf"train\.{ending}:2: expected a text, found an empty line; leave the line out"
    ):
        read(tmp_path / "train")
    assert len(read(tmp_path / "train", targets=False)) == 3


def test_empty_files(write: Write, tmp_path: Path) -> None:
    write("train.en", "")
    write("train.de", "")
    with pytest.raises(DataError, match=r"train\.en: holds no examples"):
        read(tmp_path / "train")


@pytest.mark.parametrize("ending", ["en", "de"])
def test_a_damaged_file_is_named(ending: str, write: Write, tmp_path: Path) -> None:
    for one, content in (("en", ENGLISH), ("de", GERMAN)):
        packed = gzip.compress(content)
        write(f"train.{one}.gz", packed[:-9] if one == ending else packed)
        write(f"latin.{one}", content + (b"caf\xe9\n" if one == ending else b"x\n"))
    with pytest.raises(DataError, match=rf"train\.{ending}\.gz:\d+: cannot be read"):
        read(tmp_path / "train")
    with pytest.raises(DataError, match=rf"latin\.{ending}:3: byte 0xe9 at column 4 is not utf-8; .*iso-8859-1"):
        read(tmp_path / "latin")
    assert read(tmp_path / "latin", **ENDINGS, encoding="iso-8859-1")[2]["text" if ending == "en" else "target_text"]


def test_files_that_are_not_there(write: Write, tmp_path: Path) -> None:
    write("train.en", ENGLISH)
    message = r"train\.en: there is neither .*train\.de nor train\.de\.gz beside it; expected the file whose lines are"
    with pytest.raises(DataError, match=message):
        read(tmp_path / "train")
    message = (
        r"tarin\.en: no such file .*\(did you mean 'train\.en'\?\) \(nor with \.gz\); source: en is how the name ends"
    )
    with pytest.raises(DataError, match=message):
        read(tmp_path / "tarin")
    with pytest.raises(DataError, match="none: no such file or folder"):
        read(tmp_path / "train.en", target_path=str(tmp_path / "none"))


def test_a_folder_is_not_the_beginning_of_a_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder; expected what .* begin with, such as .*/train for train"):
        read(tmp_path)


def test_one_file_is_not_enough_to_train_on(write: Write) -> None:
    path = write("x.txt", ENGLISH)
    with pytest.raises(
        DataError, match=r"x\.txt: expected the beginning of two names, \.en and \.de are put behind it"
    ):
        read(path)
    message = (
        r"x\.txt: expected a second file, .*: {path: x\.txt, target_path: \.\.\.}, or give the reader source and target"
    )
    with pytest.raises(DataError, match=message):
        list(read_examples(ParallelReader(), path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "en"}, "source and target come together, got 'en' and None"),
        ({"source": "en", "target": "en"}, "must be two endings of names, such as en and de, got 'en' and 'en'"),
        ({"source": "", "target": "de"}, "must be two endings of names"),
        ({**ENDINGS, "target_path": "x"}, "give source and target, or target_path, not both"),
        ({"encoding": "latin-99"}, "unknown encoding 'latin-99'"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ParallelReader(**arguments)


@pytest.mark.parametrize("changed", ["train.en", "train.de"])
def test_a_change_of_either_file_is_read_anew(changed: str, write: Write, tmp_path: Path) -> None:
    def load() -> list[Any]:
        reader = ParallelReader(**ENDINGS)
        return list(load_examples(reader, {"name": "parallel", **ENDINGS}, [str(tmp_path / "train")], cache_dir=cache))

    cache = str(tmp_path / "cache")
    write("train.en", ENGLISH)
    write("train.de", GERMAN)
    assert load() == PAIRS
    path = write(changed, "one\ntwo!\n")
    os.utime(path, ns=(1, 1))
    assert load() != PAIRS


def test_pairs_come_one_at_a_time(write: Write, tmp_path: Path) -> None:
    write("train.en", ENGLISH + b"\xff\n")
    write("train.de", GERMAN)
    assert next(read_examples(ParallelReader(**ENDINGS), tmp_path / "train")) == PAIRS[0]


def test_files_tells_where_the_targets_may_lie(write: Write, tmp_path: Path) -> None:
    path = write("train.en.gz", b"")
    names = [file.name for file in ParallelReader(**ENDINGS).files(path)]
    assert names == ["train.en.gz", "train.de", "train.de.gz"]
    assert re.fullmatch(r".*/b\.txt", str(ParallelReader(target_path=str(tmp_path / "b.txt")).files(path)[1]))
