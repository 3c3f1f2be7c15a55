"""`seqmodels translate`: what it prints for files and pipes, and what it says to mistakes."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys

import pytest
from translators import SOURCES, TARGETS

from seqmodels.__main__ import main


@pytest.fixture
def said(capsys, monkeypatch):
    def run(*arguments, given=""):
        raw = given if isinstance(given, bytes) else given.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="ascii"))
        status = main(["translate", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_translates_a_file_line_by_line(said, translators, tmp_path):
    lines = [*SOURCES, "", "   ", *SOURCES[::-1]]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    expected = "".join(f"{line}\n" for line in [*TARGETS, "", "", *TARGETS[::-1]])
    options = ["--ckpt_path", translators["words"], "--input", tmp_path / "in.txt"]
    assert said(*options) == (0, expected, "")
    assert said(*options, "--chunk_size=3", "--batch_size=2") == (0, expected, "")
    assert said(*options, "--output", tmp_path / "out.txt") == (0, "", "")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == expected


def test_reads_standard_input_and_needs_no_lightning(translators):
    code = (
        "import sys; from seqmodels.__main__ import main; status = main(sys.argv[1:]);"
        "assert not {'lightning', 'torchmetrics', 'matplotlib'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "translate", "--ckpt_path", str(translators["words"])],
        input="one dog sat\n\nthe man ran",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ein hund sass\n\nder mann lief\n", "")


def test_a_reader_that_goes_away_is_no_error(translators, tmp_path):
    (tmp_path / "in.txt").write_text("one dog sat\n" * 20_000)
    command = f"{sys.executable} -m seqmodels translate --ckpt_path {translators['words']} --input in.txt --beam_size 1"
    done = subprocess.run(
        ["bash", "-c", f"{command} --chunk_size 64 | head -n 1; echo ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("ein hund sass\n0\n", "")


def test_several_models_translate_together(said, translators):
    options = ["--ckpt_path", translators["words"], "--ckpt_path", translators["other words"]]
    assert said(*options, given="one dog sat\n") == (0, "ein hund sass\n", "")


def test_n_best_with_scores(said, translators):
    status, out, err = said("--ckpt_path", translators["words"], "--n_best=3", given="one dog sat\n\nthe man ran\n")
    assert (status, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] + ["3"] * 3
    assert rows[0][2] == "ein hund sass"
    assert rows[3] == ["2", "0.0000", ""]
    assert float(rows[0][1]) >= float(rows[1][1]) >= float(rows[2][1])


def test_objects_with_scores_tokens_and_alignments(said, translators):
    status, out, err = said("--ckpt_path", translators["words"], "--format=jsonl", "--n_best=2", given="one dog\n\n")
    assert (status, err) == (0, "")
    found, empty = map(json.loads, out.splitlines())
    assert found["source"] == "one dog"
    assert len(found["translations"]) == 2
    for one in found["translations"]:
        assert len(one["tokens"]) == len(one["log_probabilities"]) == len(one["alignment"])
        assert one["log_probability"] == pytest.approx(sum(one["log_probabilities"]))
        assert set(one["alignment"]) <= {0, 1}
        assert one["source_tokens"] == ["one", "dog"]
    assert empty["translations"][0]["text"] == ""


def test_pictures_of_attention(said, translators, tmp_path):
    status, *_ = said("--ckpt_path", translators["pieces"], "--attention", tmp_path / "seen", given="one dog\n\nthe\n")
    assert status == 0
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["000001.png", "000003.png"]
    assert (tmp_path / "seen" / "000001.png").read_bytes().startswith(b"\x89PNG")


def test_options_of_drawing(said, translators):
    options = ["--ckpt_path", translators["words"], "--beam_size=1", "--temperature=3", "--seed=4"]
    given = "one dog sat\n" * 5
    first = said(*options, given=given)
    assert first == said(*options, "--chunk_size=2", "--batch_size=1", given=given)
    assert len(set(first[1].splitlines())) > 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "translate needs a trained translator: --ckpt_path FILE, or the folder of a run"),
        (["--ckpt_path=missing.ckpt"], 1, "missing.ckpt: no such checkpoint"),
        (["--ckpt_path=words", "--input=missing.txt"], 1, "--input missing.txt: no such file"),
        (["--ckpt_path=words", "--output=missing/out.txt"], 2, "--output missing/out.txt: there is no folder"),
        (["--ckpt_path=words", "--beam=3"], 2, "unknown option '--beam' (did you mean 'beam_size'?)"),
        (["--ckpt_path=words", "--beam_size=0"], 2, "beam_size must be at least 1, got 0"),
        (["--ckpt_path=words", "--batch_size=0"], 2, "--batch_size must be at least 1, got 0"),
        (["--ckpt_path=words", "--device=warp"], 2, "--device warp: cannot be used here"),
        (["--ckpt_path=words", "--ckpt_path=pieces"], 2, "the target vocabulary of"),
        (["--ckpt_path=words", "--input=."], 1, "--input .: is a folder; name a file of sources, one a line"),
        (["--ckpt_path=words", "--output=."], 2, "--output .: is a folder; name a file in it"),
        (["--ckpt_path=words", "--attention=a.txt/pictures"], 2, "a.txt is a file; name a folder for the pictures"),
        (["--ckpt_path=words", "--format=csv"], 2, "--format: expected text or jsonl, got 'csv'"),
        (["--ckpt_path=label"], 2, "expected a translator, but this model gives labels; use predict"),
    ],
)
def test_mistakes(said, translators, checkpoints, arguments, status, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    paths = {**translators, **checkpoints}
    given = [
        f"--ckpt_path={paths.get(name.removeprefix('--ckpt_path='), name.removeprefix('--ckpt_path='))}"
        if name.startswith("--ckpt_path=")
        else name
        for name in arguments
    ]
    found = said(*given, given="one dog\n")
    assert found[:2] == (status, "")
    assert message in found[2]
    assert found[2].startswith("seqmodels translate: ")


def test_files_that_cannot_be_read_or_would_be_lost(said, translators, tmp_path):
    path = tmp_path / "in.txt"
    path.write_bytes(b"one dog\n\xff\xfe\n")
    options = ["--ckpt_path", translators["words"], "--input", path]
    status, _, err = said(*options)
    assert status == 1
    assert f"--input {path}:2: expected text in UTF-8, found the byte 0xff; convert it" in err
    assert said(*options[:2], given=path.read_bytes())[::2] == (1, err.replace(str(path), "-"))
    status, _, err = said(*options, "--output", path)
    assert status == 2
    assert "is the input too, and would be lost; choose another name" in err
    assert path.read_bytes() == b"one dog\n\xff\xfe\n"


def test_files_of_other_systems_and_compressed_ones(said, translators, tmp_path):
    options = ["--ckpt_path", translators["pieces"], "--format=jsonl"]
    expected = said(*options, given="\n".join(SOURCES))
    windows = b"\xef\xbb\xbf" + "\r\n".join(SOURCES).encode() + b"\r\n"
    assert said(*options, given=windows) == expected
    (tmp_path / "in.txt").write_bytes(windows)
    assert said(*options, "--input", tmp_path / "in.txt") == expected
    (tmp_path / "in.txt.gz").write_bytes(gzip.compress(windows))
    assert said(*options, "--input", tmp_path / "in.txt.gz") == expected
    (tmp_path / "in.txt.gz").write_bytes(gzip.compress(windows)[:-9])
    status, _, err = said(*options, "--input", tmp_path / "in.txt.gz")
    assert (status, "in.txt.gz:" in err, "cannot be read: Compressed file ended" in err) == (1, True, True)


def test_reads_what_another_command_writes(translators):
    command = f"{sys.executable} -m seqmodels translate --ckpt_path {translators['words']} --input <(echo one dog sat)"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ein hund sass\n", "")


def test_writes_utf_8_whatever_the_system_does(translators):
    done = subprocess.run(
        [sys.executable, "-m", "seqmodels", "translate", "--ckpt_path", str(translators["words"]), "--format=jsonl"],
        input="漢字\n".encode(),
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode("utf-8"))["source"] == "漢字"


def test_warns_of_texts_of_another_kind(said, translators):
    options = ["--ckpt_path", translators["words"], "--chunk_size=20"]
    status, out, err = said(*options, given="ett hundar satt\n" * 30 + "one dog sat\n" * 10)
    assert (status, len(out.splitlines())) == (0, 40)
    assert err.count("100% of the first 60 tokens are unknown to the model; expected texts as in training") == 1
    assert said(*options, given="ett hundar satt\n")[2] == ""
    assert said(*options, given="one dog sat\n" * 20 + "ett hundar satt\n" * 10)[2] == ""
