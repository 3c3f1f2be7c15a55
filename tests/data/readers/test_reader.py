"""The contract's own functions: finding a file, opening it, and checking what came."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqmodels.data.readers import Example, Reader, create_reader, list_readers, read_examples
from seqmodels.data.readers.reader import resolve_path
from seqmodels.errors import ConfigurationError, DataError


class Given(Reader):
    """Yields the examples that it was given."""

    targets = "tags"

    def __init__(self, *examples: Example, inputs: str = "tokens") -> None:
        self._examples = examples
        self.inputs = inputs

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        yield from self._examples


def test_a_path_may_hold_variables_and_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CORPORA", str(tmp_path))
    (tmp_path / "train.txt").touch()
    assert resolve_path("~/train.txt") == resolve_path("${CORPORA}/train.txt") == tmp_path / "train.txt"
    assert resolve_path("-") == Path("-")


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.txt").touch()
    with pytest.raises(
        DataError, match=r"trian.txt: no such file .* holds no 'trian.txt' \(did you mean 'train.txt'\?\)"
    ):
        resolve_path(tmp_path / "trian.txt")


def test_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORPORA", raising=False)
    with pytest.raises(DataError, match="environment variable CORPORA is not set"):
        resolve_path("$CORPORA/train.txt")


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["x"]}, "example 1: expected 2 tags, one for each of its tokens, found 1"),
        (
            {"tokens": ["a"], "tags": ["x"], "mask": []},
            "example 1: expected 1 mask, one for each of its tokens, found 0",
        ),
        ({"features": [[1.0], [1.0, 2.0]]}, "example 1: expected as many features at every step, found 1, 2"),
    ],
)
def test_parts_of_different_lengths(example: Example, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        list(read_examples(Given(example, inputs=next(iter(example))), tmp_path))


def test_no_examples(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no examples"):
        list(read_examples(Given(), tmp_path))


def test_an_unknown_encoding() -> None:
    with pytest.raises(ConfigurationError, match="unknown encoding 'utf-9'; common ones: utf-8"):
        create_reader({"name": "text", "encoding": "utf-9"})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "cp037"])
def test_lines_end_in_one_byte(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"'{encoding}' does not end a line in the one byte .*iconv -f"):
        create_reader({"name": "text", "encoding": encoding})
    (tmp_path / "a.txt").write_text("ab\nc", encoding)
    whole = create_reader({"name": "documents", "encoding": encoding})
    assert [example["text"] for example in read_examples(whole, tmp_path / "a.txt")] == ["ab\nc"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "shift_jis", "utf-7"])
def test_encodings_whose_lines_end_as_usual_are_taken(encoding: str) -> None:
    assert create_reader({"name": "text", "encoding": encoding})


def test_an_unknown_reader_and_a_misspelt_argument() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown reader 'conlu'.*did you mean 'conllu'"):
        create_reader("conlu")
    with pytest.raises(ConfigurationError, match=r"reader 'csv' has no argument 'lable'.*did you mean 'label'"):
        create_reader({"name": "csv", "text": "t", "lable": "y"})


@pytest.mark.parametrize("name", list_readers())
def test_every_argument_is_explained(name: str) -> None:
    from seqmodels.data.readers import reader_registry

    entry = reader_registry.get(name)
    for argument in reader_registry.arguments(name):
        documented = "".join(base.__doc__ or "" for base in entry.__mro__)
        assert f"        {argument}: " in documented, argument


def test_readers_import_no_heavy_library() -> None:
    program = "import sys, seqmodels.data.readers; print(*sorted({'torch', 'pyarrow', 'datasets'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
