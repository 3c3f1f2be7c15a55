"""`seqmodels predict`: formats, order, standard input, pipes."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys

import pytest

import seqmodels

TEXTS = ["good film film film film", "", "bad", "the plot the", "fine fine unheard"]


@pytest.fixture
def texts(folder):
    path = folder / "texts.txt"
    path.write_bytes("".join(f"{text}\r\n" for text in TEXTS).encode())
    return path


def test_json_lines_in_the_order_of_the_input(command, classifier, texts):
    result = command(
        "predict", "--ckpt_path", classifier, "--data.reader", "text", "--input", texts, "--data.batch_size", 2
    )
    assert result.status == 0, result.err
    rows = [json.loads(line) for line in result.out.splitlines()]  # and nothing else
    assert [row["text"] for row in rows] == TEXTS
    assert [row["label"] for row in rows] == seqmodels.load(classifier).predict(TEXTS)
    assert all(sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5) for row in rows)


def test_another_reader_than_that_of_training_whose_splits_have_arguments(command, folder):
    (folder / "book.txt").write_text("good film bad film fine film\n" * 30)
    train = "{path: book.txt, end: 0.8}"
    options = ["--data", "ContiguousStreams", "--data.reader", "documents", "--data.tokenizer", "character"]
    options += ["--data.batch_size=2", "--data.window=5", "--model.encoder", "{name: gru, hidden_size: 7}"]
    fitted = command(
        *("fit", "--model", "LanguageModel", *options, "--data.train", train, "--trainer.max_epochs=1"),
        *("--data.test", "{path: book.txt, begin: 0.8}", "--trainer.accelerator=cpu"),
    )
    assert fitted.status == 0, fitted.err
    run = "runs/LanguageModel/version_0"
    (folder / "new.txt").write_text("good film\nbad\n")
    result = command("predict", "--ckpt_path", run, "--data.reader", "text", "--input", "new.txt")
    assert result.status == 0, result.err
    assert [json.loads(line)["text"] for line in result.out.splitlines()] == ["good film", "bad"]
    result = command("test", "--ckpt_path", run, "--data.reader", "text", "--data.test", "new.txt")
    assert result.status == 0, result.err


def test_the_reader_of_training_without_labels(command, folder, classifier):
    (folder / "new.tsv").write_text("text\ngood film\nbad\n")
    result = command("predict", "--ckpt_path", classifier, "--input", "new.tsv")
    assert [json.loads(line)["text"] for line in result.out.splitlines()] == ["good film", "bad"]


def test_csv(command, classifier, texts):
    result = command("predict", "--ckpt_path", classifier, "--data.reader", "text", "--input", texts, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [row["input"] for row in rows] == TEXTS
    assert {row["prediction"] for row in rows} <= {"pos", "neg"}


def test_conll_by_the_ending_of_the_output(command, folder, tagger):
    result = command("predict", "--ckpt_path", tagger, "--input", "test.conll", "--output", "out.conll")
    assert result.out == ""
    assert "17 predictions written to out.conll" in result.err
    given, predicted = ((folder / name).read_text().splitlines() for name in ("test.conll", "out.conll"))
    assert [line.split("\t")[0] for line in given] == [line.split("\t")[0] for line in predicted]


def test_raw_text_for_a_tagger(command, folder, tagger):
    (folder / "raw.txt").write_text("good film\n\nthe\n")
    result = command("predict", "--ckpt_path", tagger, "--data.reader", "text", "--input", "raw.txt")
    assert result.status == 0, result.err
    assert [len(json.loads(line)["tags"]) for line in result.out.splitlines()] == [2, 0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "conll"), "conll is for taggers, but this model is a SequenceClassifier"),
        (("--output", "out.conll"), "conll is for taggers"),
        (("--format", "xml"), "format: expected one of jsonl, conll, csv, got 'xml'"),
        (("--output", "nowhere/out.csv"), "there is no folder"),
        (("--input", "nowhere.txt"), "no such file or folder"),
        (("--inptu", "test.tsv"), "unknown key '--inptu' .did you mean 'input'"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(command, folder, classifier, options, message):
    result = command("predict", "--ckpt_path", classifier, "--input", "test.tsv", *options)
    assert result.status in (1, 2)
    assert result.out == ""
    assert len(result.err.splitlines()) == 1
    assert re.search(message, result.err)
    assert not (folder / "out.conll").exists()


def test_standard_input_and_a_pipe_that_closes(folder, classifier):
    (folder / "many.txt").write_text("good film\n" * 5003)
    arguments = f"{sys.executable} -m seqmodels predict --ckpt_path {classifier} --data.reader text"
    pipe = f"cat many.txt | {arguments} | head -n 2; exit ${{PIPESTATUS[1]}}"
    result = subprocess.run(["bash", "-c", pipe], cwd=folder, capture_output=True, text=True, timeout=120)
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["good film"] * 2
    assert result.stderr == ""
    assert result.returncode == 0
