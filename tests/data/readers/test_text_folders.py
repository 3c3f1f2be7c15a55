from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from seqmodels.data.readers import TextFoldersReader, read_examples
from seqmodels.errors import DataError

FILES = {
    "set/train/pos/10_9.txt": b"good<br /><br />film\n",
    "set/train/pos/2_8.txt": b"\xef\xbb\xbffine",
    "set/train/neg/0_1.txt": b"bad\r\n",
    "set/train/neg/.hidden.txt": b"no",
    "set/train/neg/readme.md": b"no",
    "set/train/urls.txt": b"no",
    "set/test/neg/0_1.txt": b"worse",
}
EXPECTED = [
    {"text": "bad", "label": "neg", "id": "neg/0_1.txt"},
    {"text": "good<br /><br />film", "label": "pos", "id": "pos/10_9.txt"},
    {"text": "fine", "label": "pos", "id": "pos/2_8.txt"},
]


def save_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "x" / name).write_bytes(content)
    return folder / "x"


def save_zip(folder: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("set") if hasattr(archive, "mkdir") else None
        for name, content in files.items():
            archive.writestr(name, content)
    return folder / "x.zip"


def save_tar(folder: Path, files: dict[str, bytes], suffix: str = "") -> Path:
    with tarfile.open(folder / f"x.tar{suffix}", f"w:{suffix[1:]}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return folder / f"x.tar{suffix}"


def save_tar_gz(folder: Path, files: dict[str, bytes]) -> Path:
    return save_tar(folder, files, ".gz")


def read(path: Path, targets: bool = True, **arguments: Any) -> list[Any]:
    return list(read_examples(TextFoldersReader(**arguments), path, targets=targets))


every_kind = pytest.mark.parametrize("save", [save_folder, save_zip, save_tar, save_tar_gz])


@every_kind
def test_the_folder_is_the_class(save: Any, tmp_path: Path) -> None:
    path = save(tmp_path, FILES)
    assert read(path, inside="set/train") == EXPECTED
    assert read(path, inside="./set/train/", folders=["neg"]) == EXPECTED[:1]
    assert read(path, inside="set/train", line_breaks=True)[1]["text"] == "good\n\nfilm"
    assert read(path, inside="set/train", extension=".md") == [{"text": "no", "label": "neg", "id": "neg/readme.md"}]


@every_kind
def test_prediction(save: Any, tmp_path: Path) -> None:
    path = save(tmp_path, FILES)
    inputs = [{"text": example["text"], "id": example["id"]} for example in EXPECTED]
    assert read(path, targets=False, inside="set/train") == inputs
    assert read(path, targets=False, inside="set/train/neg") == [{"text": "bad", "id": "0_1.txt"}]


@every_kind
def test_wrong_folders(save: Any, tmp_path: Path) -> None:
    path = save(tmp_path, FILES)
    with pytest.raises(DataError, match="holds no examples"):
        read(path, inside="set/valid")
    message = (
        r"no class folder 'posi' with .txt files in 'set/train'; the folders are: neg, pos \(did you mean 'pos'\?\)"
    )
    with pytest.raises(DataError, match=message):
        read(path, inside="set/train", folders=["posi"])
    with pytest.raises(DataError, match="holds no examples"):
        read(path, inside="set/train/neg")


@every_kind
def test_another_encoding(save: Any, tmp_path: Path) -> None:
    path = save(tmp_path, {"a/1.txt": b"Zo\xeb"})
    with pytest.raises(DataError, match=r"a/1.txt: byte 0xeb at column 3 is not utf-8"):
        read(path)
    assert read(path, encoding="iso-8859-1")[0]["text"] == "Zoë"


def test_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a")
    with pytest.raises(DataError, match=r"x.txt: expected a folder or a .zip, .tar or .tar.gz archive"):
        read(tmp_path / "x.txt")
    with pytest.raises(DataError, match="cannot be read from standard input"):
        list(read_examples(TextFoldersReader(), "-"))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_archive(share: float, tmp_path: Path) -> None:
    files = {f"a/{n}.txt": bytes(range(n % 256)) * 101 for n in range(1, 31)}
    path = save_tar_gz(tmp_path, files)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(DataError, match=r"x.tar.gz: cannot be read as an archive"):
        read(path, encoding="iso-8859-1")


def test_a_damaged_zip(tmp_path: Path) -> None:
    path = save_zip(tmp_path, {"a/1.txt": b"word " * 101})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"1.txt") + 9] ^= 255
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"x.zip:a/1.txt: cannot be read"):
        read(path)
