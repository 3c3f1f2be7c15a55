"""Names of Python's standard library and the words that they are made of: pairs that every installation carries."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from seqmodels.data.readers.python_source import (
    _NOT_EVERYWHERE,
    _SKIPPED,
    _all_files,
    _fraction,
    _library,
    _StandardLibrary,
    read_source,
)
from seqmodels.data.readers.reader import Example, read_lines, register_reader
from seqmodels.errors import DataError

# What may hold words that are no names comes first: strings with their prefixes, comments, numbers.
_NAME = re.compile(
    r"""
    [rRbBuUfFtT]{0,2}(?:\"{3}(?:[^\\]|\\[\s\S])*?\"{3}|'{3}(?:[^\\]|\\[\s\S])*?'{3}
        |"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*')
    |\#.*
    |\d\w*
    |([^\W\d]\w*)
    """,
    re.VERBOSE,
)
_LETTERS = re.compile(r"[A-Za-z_]+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # HTTPServer is HTTP and Server


@register_reader("python_identifiers")
class PythonIdentifiers(_StandardLibrary):
    """Names without the marks between their words, and their words; the paths are `train`, `validation` and `test`.

    The text is a name of the running Python's standard library in small letters without what parts its words
    (`getfilesystemencoding`), the text to be written is its words (`get file system encoding`). The words are those
    that someone parted by underscores or capitals, as in `get_file_system_encoding` or `getFileSystemEncoding`; a name
    that is written in several ways is read in the commonest. Names of letters alone that have at least two words take
    part, each text once. A hash of the text says which split it belongs to: eight tenths, one and one. They come in
    the order of another hash. The tests of the library are left out.

    With targets any other path is a file of Python, whose names are read. Without targets it is a file of lines, each
    a text.
    """

    inputs = "text"
    targets = "target_text"

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields the names of a split, or of a file."""
        split = self.split_of(path)
        if split is None and not targets:
            for _, line in read_lines(path):
                yield {"text": line}
            return
        pairs = pairs_of([read_source(path)] if split is None else _library_sources())
        texts = [text for text in pairs if split in (None, split_of_text(text))]
        for text in sorted(texts, key=lambda text: (_fraction(text, "order"), text)):
            yield {"text": text, "target_text": pairs[text]} if targets else {"text": text}


def split_of_text(text: str) -> str:
    """Returns the split that a text belongs to, the same on every machine."""
    place = _fraction(text, "split")
    return "train" if place < 0.8 else "validation" if place < 0.9 else "test"


def words_of(name: str) -> list[str]:
    """Returns the words of a name in small letters, as underscores and capitals part them."""
    return [word.lower() for word in _WORD.findall(name)]


def pairs_of(sources: Iterable[str]) -> dict[str, str]:
    """Returns the words, joined by spaces, of each name in sources of Python by the name without what parts them."""
    names: Counter[str] = Counter()
    for source in sources:
        names.update(filter(None, _NAME.findall(source)))
    ways: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, count in names.items():
        words = words_of(name)
        if len(words) > 1 and _LETTERS.fullmatch(name):
            ways["".join(words)][" ".join(words)] += count
    return {text: min(counts, key=lambda way: (-counts[way], way)) for text, counts in ways.items()}


def _library_sources() -> Iterator[str]:
    """Yields the sources of the library, those of packages that not every installation has among them."""
    for _, file in _all_files(_library(), skipped=_SKIPPED - _NOT_EVERYWHERE):
        try:
            yield read_source(file)
        except DataError:  # a distribution may have put a file of another Python into the library
            continue
