"""Fits, validates, tests and predicts in `devices` processes, and prints what the first of them found as JSON."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from torch.optim import SGD

from seqmodels import (
    ContiguousStreams,
    LabelledSequences,
    LanguageModel,
    SequenceClassifier,
    SequencePairs,
    SequenceTagger,
    Translator,
)
from seqmodels.callbacks.prediction_writer import PredictionWriter


def create_trainer(devices: int, max_epochs: int, callbacks: Sequence[Callback] = ()) -> Trainer:
    """Returns a Trainer of so many processes that writes nothing."""
    return Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        max_epochs=max_epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )


def main(folder: Path, devices: int) -> None:
    warnings.simplefilter("ignore")
    found = {}
    for kind, reader, ending in (
        ("label", "label_text", "txt"),
        ("tags", "conll", "conll"),
        ("entities", "conll", "entities"),
    ):
        paths = {split: str(folder / f"{split}.{ending}") for split in ("train", "validation", "test")}
        data = LabelledSequences(reader, **paths, predict=paths["test"], batch_size=3)
        task = (SequenceClassifier if kind == "label" else SequenceTagger).load_from_checkpoint(folder / f"{kind}.ckpt")
        data.use_checkpoint(folder / f"{kind}.ckpt")
        output = folder / f"{kind}.{devices}.jsonl"
        trainer = create_trainer(devices, max_epochs=1, callbacks=[PredictionWriter(str(output))])
        found[kind] = {
            **trainer.validate(task, datamodule=data, verbose=False)[0],
            **trainer.test(task, datamodule=data, verbose=False)[0],
        }
        trainer.predict(task, datamodule=data, return_predictions=False)
        if kind != "tags":
            trainer.fit(task, datamodule=data)
            total = torch.stack([parameter.detach().abs().sum() for parameter in task.parameters()]).sum()
            totals = trainer.strategy.all_gather(total).flatten().tolist()
            found[kind]["equal_weights"] = len(set(totals)) == 1
            found[kind]["finite"] = bool(torch.isfinite(total))
    found["streams"] = streams(folder, devices)
    found["pairs"] = pairs(folder, devices)
    if trainer.is_global_zero:
        print(json.dumps(found))


def streams(folder: Path, devices: int) -> dict[str, float]:
    """Fits a language model on four streams, however many processes share them, and returns scores and weights."""
    paths = {split: str(folder / f"{split}.txt") for split in ("train", "validation", "test")}
    torch.manual_seed(0)
    task = LanguageModel({"name": "lstm", "hidden_size": 7}, {"embedding_dim": 5}, optimizer=partial(SGD, lr=0.5))
    data = ContiguousStreams(**paths, batch_size=4 // devices, window=5, eval_window=3, eval_batch_size=3)
    checkpoint = folder / f"streams.{devices}.ckpt"
    trainer = create_trainer(devices, max_epochs=2)
    trainer.fit(task, datamodule=data)
    trainer.save_checkpoint(checkpoint)
    weights = torch.stack([parameter.detach().abs().sum() for parameter in task.parameters()]).sum()
    state = torch.load(checkpoint, weights_only=True)["carried_state"]
    return {
        **{name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")},
        **trainer.test(task, datamodule=data, verbose=False)[0],
        "weights": float(weights),
        "state": sum(float(tensor.abs().sum()) for of_process in state for tensor in of_process),
    }


def pairs(folder: Path, devices: int) -> dict[str, float]:
    """Fits a translator on pairs, then scores the one of the checkpoint."""
    paths = {split: str(folder / "pairs") for split in ("train", "validation", "test")}
    data = SequencePairs({"name": "parallel", "source": "in", "target": "out"}, **paths, tokenizer="word", batch_size=3)
    data.use_checkpoint(folder / "pairs.ckpt")
    trainer = create_trainer(devices, max_epochs=2)
    task = Translator.load_from_checkpoint(folder / "pairs.ckpt", translate_every_n_epochs=2, translate_sentences=5)
    found = {
        **trainer.validate(task, datamodule=data, verbose=False)[0],
        **trainer.test(task, datamodule=data, verbose=False)[0],
    }
    trainer.fit(task, datamodule=data)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
