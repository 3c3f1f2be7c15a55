"""Pretrained word vectors in text form: GloVe, word2vec and fastText."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqmodels.data.readers.reader import read_lines, resolve_path
from seqmodels.errors import DataError


def read_vectors(
    path: str | os.PathLike[str], vocabulary: Mapping[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Reads the vectors of the words in `vocabulary` from a text file, gzipped or not, holding no others in memory.

    A line is a word and its numbers, parted by single spaces; a first line of two whole numbers (word2vec and
    fastText: rows, columns) is a header. A word of the vocabulary that the file lacks as it is written takes the
    vector of its lower case, if the file has that. Where a word occurs twice, the first vector counts. Words may
    hold spaces (some of GloVe 840B do) and bytes that are not UTF-8 (some of fastText do; they match nothing).

    Args:
        path: the file; `~` and `$VARIABLES` are expanded.
        vocabulary: each word's id.

    Returns:
        ids (words,) of the words that were found, ascending, and their vectors (words, embedding_dim).

    Raises:
        DataError: there is no such file; it is empty, damaged or has fewer rows than its header says; a line has
            another number of columns than the first one, or a wanted one has something else than numbers in them.
    """
    file = resolve_path(path)
    exact = {_spelled(word): id for word, id in vocabulary.items()}
    folded: dict[str, list[int]] = {}
    for word, id in vocabulary.items():
        if word.lower() != word:
            folded.setdefault(_spelled(word.lower()), []).append(id)
    found: dict[int, NDArray[np.float32]] = {}
    by_lower_case: dict[int, NDArray[np.float32]] = {}
    embedding_dim = 0
    for number, columns, word, values in _split_lines(file):
        embedding_dim = columns
        if word in exact or word in folded:
            vector = _parse(values, f"{file}:{number}")
            if word in exact:
                found.setdefault(exact[word], vector)
            for id in folded.get(word, ()):
                by_lower_case.setdefault(id, vector)
    for id, vector in by_lower_case.items():
        found.setdefault(id, vector)
    ids = sorted(found)
    matrix = np.array([found[id] for id in ids], dtype=np.float32).reshape(len(ids), embedding_dim)
    return np.array(ids, dtype=np.int64), matrix


def _spelled(word: str) -> str:
    """Returns a word's UTF-8 bytes as the Latin-1 characters by which the file is read, which no byte can fail."""
    return word.encode("utf-8", "surrogatepass").decode("latin-1")


def _split_lines(file: Path) -> Iterator[tuple[int, int, str, str]]:
    """Yields (line number, embedding_dim, word, the numbers) of each line."""
    rows, promised, embedding_dim = 0, None, 0
    for number, line in read_lines(file, encoding="latin-1"):
        line = line.rstrip(" ")  # word2vec ends its lines with one
        if not line:
            continue
        spaces = line.count(" ")
        if number == 1 and spaces == 1 and line.replace(" ", "").isdigit():
            promised, embedding_dim = map(int, line.split(" "))
            continue
        embedding_dim = embedding_dim or spaces
        parts = line.rsplit(" ", embedding_dim) if spaces > embedding_dim > 0 else line.split(" ", 1)
        if spaces < max(embedding_dim, 1) or any(map(_is_number, parts[0].split(" ")[1:])):
            raise DataError(
                f"{file}:{number}: expected a word and {embedding_dim or 'its'} numbers parted by spaces, "
                f"found {spaces} of them; is it a text file of vectors, and complete?"
            )
        rows += 1
        yield number, embedding_dim, parts[0], parts[1] if len(parts) == 2 else " ".join(parts[1:])
    if not rows or (promised is not None and rows < promised):
        raise DataError(f"{file}: expected {promised or 'some'} vectors, found {rows}; is the file complete?")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse(values: str, place: str) -> Any:
    try:
        vector = [float(value) for value in values.split(" ")]
    except ValueError as error:
        raise DataError(f"{place}: expected numbers after the word: {error}") from error
    if not all(map(math.isfinite, vector)):
        raise DataError(f"{place}: expected finite numbers after the word, found nan or inf")
    return np.array(vector, dtype=np.float32)
