"""Pretrained vectors: every format, the fallback to lower case, and files that are not right."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from seqmodels.data.vectors import read_vectors
from seqmodels.errors import DataError

VOCABULARY = {"<pad>": 0, "<unk>": 1, "cat": 5, "Dog": 3, "été": 4, "absent": 7, ". . .": 6}
GLOVE = "the 1 2 3\ncat 0.5 -1 2e-1\ndog 7 8 9\nété 4 5 6\n. . . 1 1 1\ncat 0 0 0\n"


def write(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize("name", ["glove.txt", "glove.txt.gz"])
@pytest.mark.parametrize("layout", ["glove", "header", "trailing spaces", "windows"])
def test_only_the_words_of_the_vocabulary_are_kept(tmp_path, name, layout):
    content = {
        "glove": GLOVE,
        "header": "6 3\n" + GLOVE,
        "trailing spaces": "6 3\n" + GLOVE.replace("\n", " \n"),
        "windows": GLOVE.replace("\n", "\r\n"),
    }[layout]
    ids, matrix = read_vectors(write(tmp_path / name, content), VOCABULARY)
    assert ids.tolist() == [3, 4, 5, 6]
    np.testing.assert_allclose(matrix, [[7, 8, 9], [4, 5, 6], [0.5, -1, 0.2], [1, 1, 1]], rtol=1e-6)
    assert matrix.dtype == np.float32


def test_the_written_case_wins_over_the_lower_case(tmp_path):
    ids, matrix = read_vectors(write(tmp_path / "v.txt", "dog 1 1\nDog 2 2\n"), {"Dog": 3, "dog": 2, "DOG": 5})
    assert ids.tolist() == [2, 3, 5]
    assert matrix.tolist() == [[1, 1], [2, 2], [1, 1]]


def test_words_of_other_bytes_match_nothing(tmp_path):
    ids, _ = read_vectors(write(tmp_path / "v.vec", b"\xff\xfe 1 2\ncat 3 4\n"), VOCABULARY)
    assert ids.tolist() == [5]


def test_no_word_found_is_an_empty_matrix_of_the_right_width(tmp_path):
    ids, matrix = read_vectors(write(tmp_path / "v.txt", GLOVE), {"zebra": 2})
    assert ids.shape == (0,)
    assert matrix.shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 1 2 3\ncat 1 2\n", r"v\.txt:2: expected a word and 3 numbers parted by spaces, found 2"),
        ("the 1 2 3\ncat 1 2 3 4\n", r"v\.txt:2: expected a word and 3 numbers parted by spaces, found 4"),
        ("2 5\nthe 1 2 3\n", r"v\.txt:2: expected a word and 5 numbers"),
        ("the\n", r"v\.txt:1: expected a word and its numbers"),
        ("the 1 2 3\ncat 1 two 3\n", r"v\.txt:2: expected numbers after the word.*'two'"),
        ("the 1 2 3\ncat 1 nan 3\n", r"v\.txt:2: expected finite numbers"),
        ("", r"v\.txt: expected some vectors, found 0"),
        ("9 3\nthe 1 2 3\n", r"v\.txt: expected 9 vectors, found 1; is the file complete"),
    ],
)
def test_a_file_that_is_not_right_says_where(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_vectors(write(tmp_path / "v.txt", content), VOCABULARY)


def test_a_truncated_archive_says_so(tmp_path):
    path = write(tmp_path / "v.txt.gz", GLOVE * 50)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"v\.txt\.gz:\d+: cannot be read"):
        read_vectors(path, VOCABULARY)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_vectors(tmp_path / "none.txt", VOCABULARY)
