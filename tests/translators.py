"""Small translators: pairs that a dictionary makes, networks of them by hand, and checkpoints trained by the task."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from seqmodels import SequencePairs, Translator
from seqmodels.data.schema import Schema, TokenInput
from seqmodels.data.tokenizer_training import train_tokenizer
from seqmodels.networks import TranslationNetwork

WORDS = {"one": "ein", "the": "der", "dog": "hund", "man": "mann", "sat": "sass", "ran": "lief", "slept": "schlief"}
SOURCES = [" ".join(row) for row in itertools.product(("one", "the"), ("dog", "man"), ("sat", "ran", "slept"))]


def write_in_german(source: str) -> str:
    """Returns the true translation."""
    return " ".join(WORDS[word] for word in source.split())


TARGETS = [write_in_german(source) for source in SOURCES]
NETWORK = {
    "name": "translation",
    "encoder": {"name": "gru", "hidden_size": 7, "bidirectional": True},
    "embedder": {"embedding_dim": 5},
    "target_embedder": {"embedding_dim": 5},
    "decoder": {"layer": {"name": "gru", "hidden_size": 11}},
}


def schema_of(tokenizer: Any = "word", sources: Any = SOURCES, targets: Any = TARGETS) -> Schema:
    """Returns the schema of pairs."""
    source, target = (TokenInput(train_tokenizer(tokenizer, texts=texts)) for texts in (sources, targets))
    return Schema(source, None, None, None, target_tokens=target)


def network_of(schema: Schema, seed: int = 3, **arguments: Any) -> TranslationNetwork:
    """Returns an untrained network whose distributions are not flat."""
    torch.manual_seed(seed)
    given = {key: value for key, value in {**NETWORK, **arguments}.items() if key != "name"}
    network = TranslationNetwork(schema, **given).eval()
    for parameter in network.parameters():
        parameter.data *= 3
    return network


def train(folder: Path, name: str, tokenizer: Any, *, seed: int = 0, epochs: int = 12) -> Path:
    """Trains a translator and returns its checkpoint."""
    for ending, texts in (("en", SOURCES), ("de", TARGETS)):
        (folder / f"train.{ending}").write_text("".join(f"{text}\n" for text in texts * 8), encoding="utf-8")
        (folder / f"val.{ending}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    torch.manual_seed(seed)
    task = Translator(
        {"name": "gru", "hidden_size": 13, "bidirectional": True},
        {"embedding_dim": 11},
        {"layer": {"name": "gru", "hidden_size": 17}},
        {"embedding_dim": 11},
        optimizer=functools.partial(torch.optim.Adam, lr=0.02),
    )
    data = SequencePairs(
        {"name": "parallel", "source": "en", "target": "de"},
        train=str(folder / "train"),
        tokenizer=tokenizer,
        batch_size=12,
        cache_dir=str(folder / "cache"),
    )
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(task, datamodule=data)
    trainer.save_checkpoint(folder / f"{name}.ckpt")
    return folder / f"{name}.ckpt"
