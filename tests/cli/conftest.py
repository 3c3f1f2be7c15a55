"""A folder with small data of two kinds and their configs, and a run trained in it by the command line."""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from seqmodels.__main__ import main

SIGNS = {"good": "pos", "fine": "pos", "bad": "neg", "poor": "neg"}
WORDS = [*SIGNS, "film", "plot", "the"]
CLASSIFIER = """\
model:
  class_path: SequenceClassifier
  init_args:
    encoder: {name: lstm, hidden_size: 7}
    embedder: {embedding_dim: 5}
data:
  class_path: LabelledSequences
  init_args:
    reader: {name: csv, text: text, label: label}
    train: train.tsv
    validation: dev.tsv
    test: test.tsv
    batch_size: 11
trainer:
  max_epochs: 2
  accelerator: cpu
  log_every_n_steps: 1
"""
TAGGER = """\
model:
  class_path: SequenceTagger
  init_args:
    encoder: {name: gru, hidden_size: 7}
    embedder: {embedding_dim: 5}
data:
  class_path: LabelledSequences
  init_args:
    reader: conll
    train: train.conll
    validation: dev.conll
    test: test.conll
trainer:
  max_epochs: 1
  accelerator: cpu
"""


@dataclass
class Result:
    """What a command came to."""

    status: int
    out: str
    err: str


def write_files(folder: Path) -> None:
    """Writes data for both tasks with a config for each."""
    generator = random.Random(1)
    for split, rows in (("train", 37), ("dev", 13), ("test", 17)):
        texts = [[generator.choice(list(SIGNS)), *generator.choices(WORDS, k=row % 5)] for row in range(rows)]
        table = "".join(f"{' '.join(words)}\t{SIGNS[words[0]]}\n" for words in texts)
        (folder / f"{split}.tsv").write_text(f"text\tlabel\n{table}")
        tagged = ("".join(f"{word}\t{SIGNS.get(word, 'none')}\n" for word in words) + "\n" for words in texts)
        (folder / f"{split}.conll").write_text("".join(tagged))
    (folder / "classifier.yaml").write_text(CLASSIFIER)
    (folder / "tagger.yaml").write_text(TAGGER)


def log_to_present_stderr() -> None:
    """Lets Lightning's handlers, which keep the stream that there was at their import, write where pytest listens."""
    import lightning.pytorch  # noqa: F401

    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.stream = sys.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, which is the current one."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], folder: Path) -> Callable[..., Result]:
    """Runs `seqmodels` with the arguments in this process, in the folder."""

    def run(*arguments: object) -> Result:
        log_to_present_stderr()
        capfd.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:  # what the parser does after it has printed what was asked for
            status = int(end.code or 0)
        captured = capfd.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of a folder in which both configs have been trained: `classifier/version_0` and `tagger/version_0`."""
    folder = tmp_path_factory.mktemp("trained")
    write_files(folder)
    log_to_present_stderr()
    before = os.getcwd()
    os.chdir(folder)
    for config in ("classifier.yaml", "tagger.yaml"):
        assert main(["fit", "--config", config]) == 0
    os.chdir(before)
    return folder / "runs"


@pytest.fixture
def classifier(runs: Path) -> Path:
    """The checkpoint of a classifier."""
    return runs / "classifier" / "version_0" / "checkpoints" / "best.ckpt"


@pytest.fixture
def tagger(runs: Path) -> Path:
    """The checkpoint of a tagger."""
    return runs / "tagger" / "version_0" / "checkpoints" / "best.ckpt"
