"""Whole files as texts: their exact characters, the cuts between splits, and separators."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from seqmodels.data.readers import DocumentsReader, create_reader, read_examples
from seqmodels.errors import ConfigurationError, DataError

FOLDER = os.environ.get("SEQMODELS_DATA", "")


def read(path: Path, **arguments: Any) -> list[Any]:
    return list(read_examples(DocumentsReader(**arguments), path))


def texts(path: Path, **arguments: Any) -> list[str]:
    return [example["text"] for example in read(path, **arguments)]


def test_a_file_is_one_text(write: Any) -> None:
    path = write("a.txt", b"\xef\xbb\xbf\r\n a\r\n\nb\rc \n")
    assert read(path) == [{"text": "\n a\n\nb\rc \n", "id": str(path)}]
    zipped = write("a.txt.gz", gzip.compress("é\n".encode("latin-1")))
    assert read(zipped, encoding="latin-1") == [{"text": "é\n", "id": str(zipped)}]


def test_a_folder_is_read_to_its_bottom_in_order(write: Any, tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/c/d.txt", "a-b.txt", "x.md", ".h.txt", ".git/x.txt"):
        write(name, name)
    write("empty.txt", "")
    assert texts(tmp_path) == ["a/c/d.txt", "a/z.txt", "a-b.txt", "b.txt"]
    assert texts(tmp_path, pattern="*.md") == ["x.md"]
    assert texts(tmp_path, pattern="c/*.txt") == ["a/c/d.txt"]


@pytest.mark.parametrize("size", [2, 7, 101])
@pytest.mark.parametrize("cut", [0.1, 0.3, 0.5, 0.9])
def test_cuts_leave_nothing_out_and_nothing_twice(write: Any, size: int, cut: float) -> None:
    text = "".join(chr(ord("À") + number) for number in range(size))
    path = write("a.txt", text)
    if int(size * cut):
        assert texts(path, end=cut) + texts(path, begin=cut) == [text[: int(size * cut)], text[int(size * cut) :]]
    else:
        assert texts(path, begin=cut) == [text]
        with pytest.raises(DataError, match=f"expected text between the fractions 0.0 and {cut} of"):
            texts(path, end=cut)


SEPARATED = "|\na\nb\n\n|\n|\n | c|\n|\nd\n|"


def test_separators_divide_a_file(write: Any) -> None:
    path = write("a.txt", SEPARATED)
    assert read(path, separator="|") == [
        {"text": "a\nb\n", "id": f"{path}:2"},
        {"text": " | c|", "id": f"{path}:7"},
        {"text": "d", "id": f"{path}:9"},
    ]
    assert texts(write("b.txt", "\n\r\na\r\nb\r\n\r\n\r\nc\r\n"), separator="") == ["a\nb", "c"]
    assert texts(write("c.txt", "a\nb"), separator="|") == ["a\nb"]
    assert texts(write("d.txt", " \n|\na\n"), separator="|") == ["a"]


def test_a_cut_separator_is_one_nonetheless(write: Any) -> None:
    path = write("a.txt", "ab\n<end>\ncd\n<end>\nef\n")
    for cut in range(1, 20):
        begun, ended = texts(path, separator="<end>", end=cut / 21), texts(path, separator="<end>", begin=cut / 21)
        assert "".join(begun + ended) == "abcdef", cut


def test_lines_are_counted_from_the_start_of_the_file(write: Any) -> None:
    path = write("a.txt", "a\nb\n|\nc\nd\n|\ne\n")
    assert read(path, separator="|", begin=0.5) == [
        {"text": "\nd", "id": f"{path}:4"},
        {"text": "e", "id": f"{path}:7"},
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"begin": 0.9, "end": 0.9}, r"expected 0 <= begin < end <= 1, got begin 0\.9 and end 0\.9"),
        ({"begin": -0.1}, "expected 0 <= begin < end <= 1"),
        ({"end": 1.1}, "expected 0 <= begin < end <= 1"),
        ({"separator": "a\n"}, r"separator must be one line, without its end, got 'a\\n'"),
        ({"pattern": ""}, "pattern must be names below the folder"),
        ({"pattern": "/a/*"}, "pattern must be names below the folder"),
        ({"encoding": "utf-9"}, "unknown encoding 'utf-9'"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        create_reader({"name": "documents", **arguments})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"a\nb\xff\n", r"a\.txt:2: byte 0xff is not utf-8; give the reader"),
        ("a.txt", b"", r"a\.txt: expected text between the fractions 0\.0 and 0\.9 .* it has 0 characters"),
        ("a.txt", b"a", r"a\.txt: expected text between .* it has 1 characters"),
        ("a.txt.gz", b"a", r"a\.txt\.gz: cannot be read"),
        ("a.txt.gz", gzip.compress(b"abc" * 99)[:-9], r"a\.txt\.gz: cannot be read"),
    ],
)
def test_faulty_files(write: Any, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(name, content), end=0.9)


def test_faulty_folders(write: Any, tmp_path: Path) -> None:
    write("a.md", "")
    with pytest.raises(DataError, match=r"expected files named \*\.txt in it or below, found none; set `pattern`"):
        read(tmp_path)
    with pytest.raises(DataError, match="holds no examples"):
        read(tmp_path, pattern="*.md")
    write("b.md", b"\xff")
    with pytest.raises(DataError, match=r"b\.md:1: byte 0xff"):
        read(tmp_path, pattern="*.md")


@pytest.mark.skipif(not FOLDER, reason="SEQMODELS_DATA is not set")
def test_documented_characters_of_tiny_shakespeare() -> None:
    path = Path(FOLDER) / "tinyshakespeare" / "input.txt.gz"
    (whole,), (train,), (validation,) = texts(path), texts(path, end=0.9), texts(path, begin=0.9)
    assert (len(whole), len(train)) == (1_115_394, 1_003_854)
    assert train + validation == whole
