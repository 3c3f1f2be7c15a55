"""Names and their words: what is a name, what parts it, and that no text is in two splits."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqmodels.data.readers import PythonIdentifiers, read_examples
from seqmodels.data.readers.python_identifiers import split_of_text, words_of
from seqmodels.errors import DataError

Write = Callable[[str, "str | bytes"], Path]

SOURCE = '''\
"""The docstring_is no name."""
import os.path_names as path_names  # nor is a_comment
class HTTPServer(BaseServer):
    getFileName = r"not\\"a_name" + f'nor_{this}' + """nor
    the_next"""
    def __get_file_name__(self, x1_y, single, _private, 0xAB_CD, naïve_name):
        return self.fileName + base_server.filename + base_Server
'''


def read(path: str | Path, targets: bool = True) -> list[Any]:
    return list(read_examples(PythonIdentifiers(), path, targets=targets))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("get_file_system_encoding", "get file system encoding"),
        ("getFileSystemEncoding", "get file system encoding"),
        ("__HTTPServer_v", "http server v"),
        ("IOBase", "io base"),
        ("O_RDONLY", "o rdonly"),
        ("assertRaisesOSError", "assert raises os error"),
        ("single", "single"),
    ],
)
def test_underscores_and_capitals_part_words(name: str, words: str) -> None:
    assert " ".join(words_of(name)) == words


def test_the_names_of_a_file(write: Write) -> None:
    pairs = read(write("x.py", SOURCE))
    assert sorted(pair["target_text"] for pair in pairs) == [
        *("base server", "file name", "get file name", "http server", "path names")
    ]
    assert all(pair["text"] == pair["target_text"].replace(" ", "") for pair in pairs)


def test_a_name_written_in_several_ways_is_read_in_the_commonest(write: Write) -> None:
    path = write("x.py", "set_upNow, setup_now, setup_now, a_bc, ab_c")
    assert {pair["text"]: pair["target_text"] for pair in read(path)} == {"setupnow": "setup now", "abc": "a bc"}


def test_splits_share_no_text_and_are_the_same_again() -> None:
    found = {split: read(split) for split in ("train", "test")}
    texts = [pair["text"] for split in found for pair in found[split]]
    assert len(set(texts)) == len(texts)
    assert all(split_of_text(pair["text"]) == split for split in found for pair in found[split])
    assert len(found["train"]) > 7_000
    assert 0.08 < len(found["test"]) / len(texts) < 0.13
    for pair in found["test"]:
        words = pair["target_text"].split(" ")
        assert len(words) > 1
        assert "".join(words) == pair["text"]
        assert pair["text"].isascii()
        assert pair["text"].isalpha()
        assert pair["text"].islower()
    assert {"text": "getfilesystemencoding", "target_text": "get file system encoding"} not in found["test"]
    assert [pair["text"] for pair in read("test", targets=False)] == [pair["text"] for pair in found["test"]]


def test_prediction_reads_lines(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(write("x", "getname\n\n"), targets=False) == [{"text": "getname"}, {"text": ""}]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"getname\n")))
    assert read("-", targets=False) == [{"text": "getname"}]


def test_a_file_without_names_or_that_is_not_there(write: Write) -> None:
    with pytest.raises(DataError, match=r"x\.py: holds no examples"):
        read(write("x.py", "x = single\n"))
    with pytest.raises(DataError, match="this reader takes one of train, validation, test"):
        read("tets")
