from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqmodels.data.readers import FastaReader, read_examples
from seqmodels.errors import ConfigurationError, DataError

Write = Callable[[str, "str | bytes"], Path]

FILES = {
    "sequences.fasta": ">p1 OS=x\nMKV\nTA\n\n>p2\nGGW\n",
    "labels.fasta": ">p1 SET=train\nHHCCE\n>p2 SET=test VALIDATION=False\nEEC\n",
    "mask.fasta": ">p1\n01111\n>p2\n110\n",
}
ALL = {"sequences": "sequences.fasta", "labels": "labels.fasta", "mask": "mask.fasta"}
P1 = {"tokens": list("MKVTA"), "tags": list("HHCCE"), "mask": [False, True, True, True, True], "id": "p1"}
P2 = {"tokens": list("GGW"), "tags": list("EEC"), "mask": [True, True, False], "id": "p2"}


def save_folder(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def save_zip(folder: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"splits/{name}", content)
    return folder / "x.zip"


def read(path: Path, targets: bool = True, **arguments: Any) -> list[Any]:
    return list(read_examples(FastaReader(**arguments), path, targets=targets))


every_kind = pytest.mark.parametrize("save", [save_folder, save_zip])


@every_kind
def test_sequences_labels_and_mask(save: Any, tmp_path: Path) -> None:
    path = save(tmp_path, FILES)
    assert read(path, **ALL) == [P1, P2]
    assert read(path, **ALL, where={"SET": "test"}) == [P2]
    assert read(path, **ALL, where={"SET": "test", "VALIDATION": False}) == [P2]
    assert read(path, **ALL, where={"SET": "train"}, targets=False) == [{"tokens": P1["tokens"], "id": "p1"}]
    assert "mask" not in read(path, sequences="sequences.fasta", labels="labels.fasta")[0]


def test_the_file_itself_beside_its_labels(tmp_path: Path) -> None:
    save_folder(tmp_path, FILES)
    assert read(tmp_path / "sequences.fasta", **ALL) == [P1, P2]


def test_prediction_needs_only_the_sequences(tmp_path: Path) -> None:
    save_folder(tmp_path, {"new.fasta": ">p3\nMK\n"})
    expected = [{"tokens": ["M", "K"], "id": "p3"}]
    assert read(tmp_path / "new.fasta", targets=False, **ALL, where={"SET": "test"}) == expected
    assert FastaReader().targets is None
    assert FastaReader(labels="x").targets == "tags"


@every_kind
@pytest.mark.parametrize(
    ("changed", "content", "message"),
    [
        ("labels.fasta", ">p1\nHHCCE\n", "sequences.fasta:5: record 'p2' is missing at the end of another"),
        ("labels.fasta", ">p1\nHHCCE\n>p3\nEEC\n", "labels.fasta:3: expected record 'p2' .*fasta:5, found 'p3'"),
        ("labels.fasta", ">p1\nHHC\n>p2\nEEC\n", "labels.fasta:1: expected 5 letters .*sequences.fasta:1, found 3"),
        ("mask.fasta", ">p1\n01121\n>p2\n110\n", "mask.fasta:1: expected a mask of 0 and 1, found '2'"),
        ("sequences.fasta", "MKV\n", "sequences.fasta:1: expected a header that begins with >, found 'MKV'"),
        ("sequences.fasta", "> \nMKV\n", "sequences.fasta:1: expected a name after >, found nothing"),
    ],
)  # fmt: skip
def test_files_that_do_not_agree(save: Any, changed: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(save(tmp_path, {**FILES, changed: content}), **ALL)


@every_kind
def test_files_and_attributes_that_are_not_there(save: Any, tmp_path: Path) -> None:
    path = save(tmp_path, FILES)
    with pytest.raises(DataError, match=r"no file 'label.fasta'; the files are: .*did you mean '.*labels.fasta'"):
        read(path, **{**ALL, "labels": "label.fasta"})
    with pytest.raises(DataError, match=r"say which file holds the sequences, by `sequences`; it holds: .*mask.fasta"):
        read(path)
    with pytest.raises(DataError, match=r"no header has SPLIT=...; they have: OS, SET, VALIDATION"):
        read(path, **ALL, where={"SPLIT": "test"})


def test_a_mask_needs_labels() -> None:
    with pytest.raises(ConfigurationError, match="a mask says which labels are scored"):
        FastaReader(mask="mask.fasta")


def test_a_damaged_zip(tmp_path: Path) -> None:
    path = save_zip(tmp_path, FILES)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"MKV")] ^= 255
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"splits/sequences.fasta: cannot be read: Bad CRC-32"):
        read(path, sequences="sequences.fasta")


def test_the_files_that_are_read(tmp_path: Path) -> None:
    reader = FastaReader(labels="labels.fasta", mask="mask.fasta")
    path = save_folder(tmp_path, FILES) / "sequences.fasta"
    assert reader.files(path) == [tmp_path / name for name in ("sequences.fasta", "labels.fasta", "mask.fasta")]
    assert reader.files(tmp_path) == [tmp_path]
    zipped = save_zip(tmp_path, FILES)
    assert reader.files(zipped) == [zipped]
