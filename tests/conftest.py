"""Small data sets of every kind, and a Trainer that writes and prints nothing, for whatever needs a trained model."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tensors are tiny here: threads would only wait for one another

WORDS = ("awful", "dull", "fair", "great", "fine", "the", "film", "was", "a", "so")
LABEL_OF = {"awful": "bad", "dull": "bad", "fair": "mixed", "great": "good", "fine": "good"}
TAG_OF = {"the": "DET", "a": "DET", "film": "NOUN", "was": "VERB", "so": "ADV"}


class Toy:
    """Files of a few short rows, made once, and data modules over them.

    Args:
        folder: where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        cues = list(LABEL_OF)
        texts = {
            "train": [f"the film was {'so ' * (row % 4)}{cues[row % 5]}" for row in range(13)],
            "validation": [f"a film so {cues[row % 5]} {'was ' * (row % 3)}".strip() for row in range(7)],
            "test": [f"{cues[row % 5]} {'the film was a ' * (row % 4)}film".strip() for row in range(11)],
        }
        for split, rows in texts.items():
            labels = [next(LABEL_OF[word] for word in text.split() if word in LABEL_OF) for text in rows]
            self._write(f"{split}.txt", "".join(f"{label} {text}\n" for label, text in zip(labels, rows, strict=True)))
            tagged = ("".join(f"{word}\t{TAG_OF.get(word, 'ADJ')}\n" for word in text.split()) for text in rows)
            self._write(f"{split}.conll", "\n".join(tagged) + "\n")
            several = (
                {"text": text, "labels": sorted({word for word in text.split() if word in ("so", "was")})}
                for text in rows
            )
            self._write(f"{split}.several.jsonl", "".join(json.dumps(row) + "\n" for row in several))
            self._write(f"{split}.entities", "\n".join(_entities(row) for row in range(len(rows))) + "\n")
            numbers = (_wave(row) for row in range(len(rows)))
            header = "@problemName waves\n@dimensions 2\n@classLabel true up down\n@data\n"
            self._write(f"{split}.ts", header + "".join(numbers))
            masked = (
                {
                    "tokens": text.split(),
                    "tags": [TAG_OF.get(w, "ADJ") for w in text.split()],
                    "mask": [place != 1 for place in range(len(text.split()))],
                }
                for text in rows
            )
            self._write(f"{split}.masked.jsonl", "".join(json.dumps(row) + "\n" for row in masked))

    def _write(self, name: str, content: str) -> None:
        (self.folder / name).write_text(content, encoding="utf-8")

    def data(self, kind: str, *, splits: tuple[str, ...] = ("train", "validation", "test"), **arguments: Any) -> Any:
        """Returns the data module of one kind: label, labels, tags, entities, masked or features."""
        from seqmodels import LabelledSequences

        reader, ending = {
            "label": ("label_text", "txt"),
            "labels": ({"name": "jsonl", "text": "text", "labels": "labels"}, "several.jsonl"),
            "tags": ("conll", "conll"),
            "entities": ("conll", "entities"),
            "masked": ({"name": "jsonl", "tokens": "tokens", "tags": "tags", "mask": "mask"}, "masked.jsonl"),
            "features": ("uea", "ts"),
        }[kind]
        paths = {split: str(self.folder / f"{split}.{ending}") for split in splits}
        return LabelledSequences(reader, **{**paths, "batch_size": 5, **arguments})

    def task(self, kind: str, **arguments: Any) -> Any:
        """Returns a small task for data of one kind, with random weights that are the same every time."""
        import torch

        from seqmodels import SequenceClassifier, SequenceTagger

        torch.manual_seed(0)
        arguments = {"encoder": {"name": "lstm", "hidden_size": 7}, "embedder": {"embedding_dim": 5}, **arguments}
        if kind in ("label", "labels", "features"):
            return SequenceClassifier(**arguments)
        return SequenceTagger(**arguments)

    def trainer(self, **arguments: Any) -> Any:
        """Returns a quiet Trainer on one CPU."""
        from lightning.pytorch import Trainer

        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        quiet = {
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "log_every_n_steps": 1,
            "default_root_dir": str(self.folder),
        }
        return Trainer(**{**quiet, **arguments})

    def fit(self, kind: str, *, task: Any = None, data: Any = None, **arguments: Any) -> tuple[Any, Any, Any]:
        """Trains for two steps, or as the Trainer's arguments say; returns trainer, task and data."""
        task = self.task(kind) if task is None else task
        data = self.data(kind) if data is None else data
        if "max_epochs" not in arguments:
            arguments = {"max_steps": 2, **arguments}
        trainer = self.trainer(**arguments)
        trainer.fit(task, datamodule=data)
        return trainer, task, data


def _entities(row: int) -> str:
    names = [("Ada", "B-PER"), ("Lovelace", "I-PER")] if row % 2 else [("Rome", "B-LOC")]
    pairs = [("so", "O")] * (row % 3) + names + [("was", "O"), ("Paris", "B-LOC")][: 1 + row % 2]
    return "".join(f"{word}\t{tag}\n" for word, tag in pairs)


def _wave(row: int) -> str:
    sign = 1 if row % 2 else -1
    steps = [sign * step / 3 for step in range(1, 4 + row % 4)]
    return (
        ",".join(f"{step:.3f}" for step in steps)
        + ":"
        + ",".join("1" for _ in steps)
        + f":{'up' if row % 2 else 'down'}\n"
    )


@pytest.fixture(scope="session", autouse=True)
def _examples_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps examples that the tests read out of the user's own cache."""
    before = os.environ.get("SEQMODELS_CACHE")
    os.environ["SEQMODELS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    yield
    os.environ.pop("SEQMODELS_CACHE")
    if before is not None:
        os.environ["SEQMODELS_CACHE"] = before


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The small data sets."""
    return Toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def checkpoints(toy: Toy) -> dict[str, Path]:
    """A trained checkpoint of each kind of data."""
    made = {}
    for kind in ("label", "labels", "tags", "entities", "features"):
        task = toy.task(kind, crf=True) if kind == "entities" else toy.task(kind)
        trainer, _, _ = toy.fit(kind, task=task, max_steps=11)
        made[kind] = toy.folder / f"{kind}.ckpt"
        trainer.save_checkpoint(made[kind])
    return made


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a BERT of 2 layers and 6 features with its tokenizer, with random weights."""
    transformers = pytest.importorskip("transformers")
    import torch

    folder = tmp_path_factory.mktemp("models") / "tiny_bert"
    folder.mkdir()
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(pieces)) + "\n")
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(dict.fromkeys(pieces)) + 3,  # as on the hub, where tables are larger than vocabularies
        hidden_size=6,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=13,
        max_position_embeddings=53,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def translators(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Checkpoints of trained translators by name: of words, of words with another seed, and of pieces."""
    from translators import train

    folder = tmp_path_factory.mktemp("translators")
    return {
        "words": train(folder, "words", "word"),
        "other words": train(folder, "other", "word", seed=1),
        "pieces": train(folder, "pieces", {"name": "bpe", "vocab_size": 300}, epochs=20),
    }
