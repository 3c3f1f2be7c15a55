from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seqmodels.data.encoded import Encoded
from seqmodels.data.next_step import build_next_step_schema, to_next_step
from seqmodels.data.ragged import Ragged
from seqmodels.data.readers import Example, Reader, create_reader
from seqmodels.data.schema import build_schema
from seqmodels.data.store import CHUNK_ROWS, Examples, cache_folder, encode_split, load_examples
from seqmodels.errors import DataError

SPEC = "conll"


class Counting(Reader):
    """Makes `rows` examples, and remembers how far ahead of the store it was read."""

    inputs = "tokens"
    targets = "tags"

    def __init__(self, rows: int, fail_at: int | None = None) -> None:
        self.rows = rows
        self.fail_at = fail_at
        self.alive = self.most_alive = self.reads = 0

    def resolve(self, path: str) -> Path:
        return Path(path)

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        self.reads += 1
        for number in range(self.rows):
            if number == self.fail_at:
                raise DataError(f"{path}:{number + 1}: broken")
            self.alive += 1
            self.most_alive = max(self.most_alive, self.alive)
            yield _Tracked(self, {"tokens": [f"w{number}", "the"]} | ({"tags": ["X", "Y"]} if targets else {}))  # type: ignore[misc]


class _Tracked(dict):  # type: ignore[type-arg]
    """An example that tells its reader when it is let go of."""

    def __init__(self, reader: Counting, values: Example) -> None:
        super().__init__(values)
        self.reader = reader

    def __del__(self) -> None:
        self.reader.alive -= 1


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def stored(reader: Reader, path: str | Path, cache: Path, **arguments: object) -> Examples:
    return load_examples(reader, {"name": "test"}, [str(path)], cache_dir=cache, **arguments)  # type: ignore[arg-type]


def equal(first: Encoded, second: Encoded) -> bool:
    for name, column in vars(first).items():
        other = getattr(second, name)
        if (column is None) != (other is None):
            return False
        if isinstance(column, Ragged):
            np.testing.assert_array_equal(column.values, other.values)
            np.testing.assert_array_equal(column.offsets, other.offsets)
        elif column is not None:
            np.testing.assert_array_equal(column, other)
    return True


def test_gives_back_every_kind_of_value(tmp_path: Path):
    class Everything(Counting):
        inputs, targets = "text", "labels"

        def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
            yield {"text": "é\u2028\n", "labels": [], "id": "one"}
            yield {"text": "", "labels": ["a", "b"]}

    examples = stored(Everything(2), "x", tmp_path)
    assert list(examples) == [{"text": "é\u2028\n", "labels": [], "id": "one"}, {"text": "", "labels": ["a", "b"]}]
    assert examples[1] == {"text": "", "labels": ["a", "b"]}
    assert examples.column("labels") == [[], ["a", "b"]]
    assert list(examples.select([1])) == [{"text": "", "labels": ["a", "b"]}]
    assert len(examples) == 2


def test_gives_back_features(tmp_path: Path):
    class Features(Counting):
        inputs, targets = "features", "label"

        def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
            yield {"features": [[1.5, 2.0], [3.0, 4.0]], "label": "a"}

    assert list(stored(Features(1), "x", tmp_path)) == [{"features": [[1.5, 2.0], [3.0, 4.0]], "label": "a"}]


def test_never_holds_more_than_two_chunks_of_examples(tmp_path: Path):
    reader = Counting(5 * CHUNK_ROWS + 3)
    examples = stored(reader, "rows", tmp_path)
    assert reader.most_alive <= 2 * CHUNK_ROWS + 1
    assert len(examples) == reader.rows
    assert [len(chunk) for chunk in examples.chunks()] == [CHUNK_ROWS] * 5 + [3]


def test_reads_an_unchanged_file_once_and_a_changed_one_anew(tmp_path: Path):
    path = write(tmp_path / "a.txt", "x")
    reader = Counting(3)
    reader.resolve = Path  # type: ignore[assignment]
    stored(reader, path, tmp_path / "cache")
    stored(reader, path, tmp_path / "cache")
    assert reader.reads == 1
    os.utime(path, ns=(1, 1))
    stored(reader, path, tmp_path / "cache")
    assert reader.reads == 2
    stored(reader, path, tmp_path / "cache", targets=False)
    assert reader.reads == 3
    load_examples(reader, {"name": "test", "other": 1}, [str(path)], cache_dir=tmp_path / "cache")
    assert reader.reads == 4


def test_reads_a_folder_anew_when_a_file_in_it_changes(tmp_path: Path):
    folder = tmp_path / "corpus"
    (folder / "inner").mkdir(parents=True)
    write(folder / "inner" / "a.txt", "x")
    reader = Counting(3)
    stored(reader, folder, tmp_path / "cache")
    stored(reader, folder, tmp_path / "cache")
    assert reader.reads == 1
    write(folder / "inner" / "b.txt", "x")
    stored(reader, folder, tmp_path / "cache")
    assert reader.reads == 2


def test_a_reader_of_no_files_is_read_once(tmp_path: Path):
    reader = Counting(3)
    stored(reader, "some/hub-name", tmp_path)
    stored(reader, "some/hub-name", tmp_path)
    assert reader.reads == 1


def test_joins_several_files(tmp_path: Path):
    first, second = write(tmp_path / "a", "x\tX\n\n"), write(tmp_path / "b", "y\tY\r\n\r\nz\tZ\r\n")
    examples = load_examples(create_reader(SPEC), SPEC, [str(first), str(second)], cache_dir=tmp_path / "cache")
    assert [example["tokens"] for example in examples] == [["x"], ["y"], ["z"]]
    assert [example["tags"] for example in examples] == [["X"], ["Y"], ["Z"]], "Windows line ends are no part of tags"


def test_an_error_names_path_and_line_and_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(DataError, match=r"^rows:8: broken$"):
        stored(Counting(11, fail_at=7), "rows", tmp_path)
    assert list((tmp_path / "examples").iterdir()) == []
    with pytest.raises(DataError, match="broken"):  # and it is no less an error the second time
        stored(Counting(11, fail_at=7), "rows", tmp_path)


def test_a_failed_conversion_names_the_example(tmp_path: Path):
    def convert(example: Example) -> Example:
        raise DataError("tag 'Q' marks no chunk")

    with pytest.raises(DataError, match="rows: example 1: tag 'Q' marks no chunk"):
        stored(Counting(3), "rows", tmp_path, convert=convert, conversion="bio")


def test_an_empty_file_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match=r"empty\.conll: holds no examples"):
        load_examples(
            create_reader(SPEC), SPEC, [str(write(tmp_path / "empty.conll", ""))], cache_dir=tmp_path / "cache"
        )


def test_text_that_is_no_unicode_is_an_error(tmp_path: Path):
    class Surrogates(Counting):
        def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
            yield {"tokens": ["\ud800"], "tags": ["X"]}

    with pytest.raises(DataError, match="rows: an example after number 0 cannot be stored"):
        stored(Surrogates(1), "rows", tmp_path)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path):
    write(tmp_path / "file", "")
    with pytest.raises(DataError, match="name a folder for examples by the environment variable SEQMODELS_CACHE"):
        stored(Counting(3), "rows", tmp_path / "file")


def test_cache_folder_is_given_or_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SEQMODELS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("SEQMODELS_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "seqmodels"


def _store_and_count(cache: Path) -> int:
    return sum(len(example["tokens"]) for example in stored(Counting(2003), "rows", cache))


def test_processes_that_store_at_once_do_not_harm_one_another(tmp_path: Path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(_store_and_count, [tmp_path] * 6) == [4006] * 6
    assert len(list((tmp_path / "examples").iterdir())) == 1


@pytest.mark.parametrize("characters", [False, True])
def test_encodes_in_memory_as_in_files(tmp_path: Path, characters: bool):
    examples = stored(Counting(2 * CHUNK_ROWS + 7), "rows", tmp_path)
    schema = build_schema(examples, inputs="tokens", target="tags", characters=characters)
    whole = schema.encode(list(examples))
    in_memory = encode_split(examples, schema, cache_dir=tmp_path)
    in_files = encode_split(examples, schema, cache_dir=tmp_path, in_memory=0)
    assert in_memory.folder is None
    assert isinstance(in_files.encoded.ids.values, np.memmap)
    assert equal(whole, in_memory.encoded)
    assert equal(whole, in_files.encoded)
    folder = Path(in_files.folder.name)
    assert folder.parent == tmp_path
    del in_files
    assert not folder.exists()


def test_counts_what_training_did_not_have(tmp_path: Path):
    schema = build_schema(
        [{"tokens": ["ab", "c"], "tags": ["X", "Y"]}], inputs="tokens", target="tags", characters=True
    )

    class Other(Counting):
        def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
            yield {"tokens": ["ab", "qb", "qq"], "tags": ["X", "Z", "W"], "mask": [True, True, False]}
            yield {"tokens": ["c", "q"], "tags": ["Z", "Y"]}

    split = encode_split(stored(Other(2), "x", tmp_path), schema)
    assert (split.unknown_tokens, split.unknown_characters, split.truncated) == (3, 4, 0)
    assert split.unseen == {"Z": 2}, "a masked tag is not scored"
    cut = encode_split(stored(Other(2), "x", tmp_path), schema, max_length=2)
    assert cut.truncated == 1
    assert cut.encoded.ids.lengths().tolist() == [2, 2]


@pytest.mark.parametrize(("kind", "value"), [("label", "new"), ("labels", ["a", "new"])])
def test_counts_labels_that_training_did_not_have(tmp_path: Path, kind: str, value: object):
    class Labelled(Counting):
        inputs, targets = "text", kind

        def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
            yield {"text": "x", kind: "a" if kind == "label" else ["a"]}  # type: ignore[misc]
            yield {"text": "x", kind: value}  # type: ignore[misc]

    examples = stored(Labelled(2), "x", tmp_path)
    schema = build_schema(examples.select([0]), inputs="text", target=kind)  # type: ignore[arg-type]
    assert encode_split(examples, schema).unseen == {"new": 1}


def test_an_example_that_does_not_fit_is_named_with_its_path(tmp_path: Path):
    class Ragged2(Counting):
        inputs, targets = "features", "label"

        def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
            for number in range(CHUNK_ROWS + 5):
                yield {"features": [[1.0] * (2 if number < CHUNK_ROWS + 3 else 3)], "label": "a"}

    examples = stored(Ragged2(1), "rows.ts", tmp_path)
    schema = build_schema(examples.select(range(5)), inputs="features", target="label")
    with pytest.raises(DataError, match=r"rows\.ts: example 1004: expected 2 features a step, as in training, got 3"):
        encode_split(examples, schema)


def test_what_a_rewriting_refuses_is_named_with_its_path(tmp_path: Path):
    class Frames(Counting):
        inputs, targets = "features", None

        def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
            for number in range(CHUNK_ROWS + 5):
                yield {"features": [[1.0, 0.5 if number == CHUNK_ROWS + 3 else 0.0]]}

    examples = stored(Frames(1), "rows.ts", tmp_path)
    schema = build_next_step_schema(examples, inputs="features", tokenizer="word")
    with pytest.raises(DataError, match=r"rows\.ts: example 1004: expected frames of 0 and 1 .* is a forecaster"):
        encode_split(examples, schema, targets=False, rewrite=to_next_step)


def test_long_examples_are_read_few_at_once(tmp_path: Path):
    class Long(Counting):
        inputs, targets = "text", None

        def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
            yield from ({"text": chr(97 + number) * 300_000} for number in range(7))

    examples = stored(Long(1), "long", tmp_path)
    assert [len(chunk) for chunk in examples.chunks()] == [2, 2, 2, 1]
    assert [example["text"][0] for example in examples] == list("abcdefg")


def test_others_may_read_what_was_stored(tmp_path: Path):
    before = os.umask(0o022)
    try:
        stored(Counting(3), "x", tmp_path)
    finally:
        os.umask(before)
    (path,) = (tmp_path / "examples").iterdir()
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_was_stored_and_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("datasets.Dataset.from_file", refuse)
    with pytest.raises(DataError, match=r"\.arrow: cannot be read: Permission denied; name a folder .*SEQMODELS_CACHE"):
        stored(Counting(3), "x", tmp_path)


def test_reads_anew_when_the_code_of_a_base_class_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, code in (
        ("base_of_reader", "import test_store\nclass Base(test_store.Counting): pass"),
        ("own_reader", "import base_of_reader\nclass Own(base_of_reader.Base): pass"),
    ):
        write(tmp_path / f"{name}.py", code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    reader = importlib.import_module("own_reader").Own(3)
    for _ in range(2):
        stored(reader, "x", tmp_path / "cache")
    assert reader.reads == 1
    os.utime(tmp_path / "base_of_reader.py", ns=(1, 1))
    stored(reader, "x", tmp_path / "cache")
    assert reader.reads == 2


def test_a_reader_without_a_file_of_its_own_is_read(tmp_path: Path):
    namespace: dict[str, type[Counting]] = {}
    exec("class Typed(Counting): pass", {"Counting": Counting, "__name__": "__main__"}, namespace)
    reader = namespace["Typed"](3)
    assert len(stored(reader, "x", tmp_path)) == len(stored(reader, "x", tmp_path)) == 3
    assert reader.reads == 1


def test_an_example_of_chosen_rows_is_named_by_its_number_in_its_file(tmp_path: Path):
    line = '{"x": [[1, 2]], "y": "a"}\n'
    first = write(tmp_path / "one.jsonl", 4 * line)
    second = write(tmp_path / "two.jsonl", 2 * line + '{"x": [[1, 2, 3]], "y": "a"}\n' + line)
    spec = {"name": "jsonl", "features": "x", "label": "y"}
    examples = load_examples(create_reader(spec), spec, [str(first), str(second)], cache_dir=tmp_path / "cache")
    schema = build_schema(examples.select([0]), inputs="features", target="label")
    for chosen in (examples, examples.select([0, 6]), examples.select([1, 3, 5, 6]).select([2, 3])):
        with pytest.raises(DataError, match=r"^\S*two\.jsonl: example 3: expected 2 features a step, as in training"):
            encode_split(chosen, schema)


def test_reads_anew_when_a_file_beside_the_named_one_changes(tmp_path: Path):
    path = write(tmp_path / "sequences.fasta", ">a\nMK\n")
    labels = write(tmp_path / "labels.fasta", ">a\nHC\n")
    spec = {"name": "fasta", "labels": "labels.fasta"}

    def tags() -> list[str]:
        (example,) = load_examples(create_reader(spec), spec, [str(path)], cache_dir=tmp_path / "cache")
        return example["tags"]

    assert tags() == ["H", "C"]
    write(labels, ">a\nEE\n")
    os.utime(labels, ns=(1, 1))
    assert tags() == ["E", "E"]
