"""Fits, validates, tests and predicts in `devices` processes, and prints what the first of them found as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
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
from seqmodels.callbacks.interrupt_checkpoint import InterruptCheckpoint
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
    found["documents"] = streams(folder, devices, reset_at_documents=True)
    found["resumed"] = resumed(folder, devices)
    found["pairs"] = pairs(folder, devices)
    if trainer.is_global_zero:
        print(json.dumps(found))


def language_model(dropout: float = 0.0) -> LanguageModel:
    """Returns a small one; without the temporal penalty, a mean over pairs of steps, which weighs otherwise."""
    torch.manual_seed(0)
    return LanguageModel(
        {"name": "lstm", "hidden_size": 7},
        {"embedding_dim": 5},
        dropout=dropout,
        activation_penalty=2.0,
        optimizer=partial(SGD, lr=0.5),
    )


def stream_data(folder: Path, devices: int, **arguments: Any) -> ContiguousStreams:
    """Returns four streams, however many processes share them."""
    paths = {split: str(folder / f"{split}.txt") for split in ("train", "validation", "test")}
    sizes = {"window": 5, "eval_window": 3, "eval_batch_size": 3}
    return ContiguousStreams(**paths, **sizes, batch_size=4 // devices, **arguments)


def resumed(folder: Path, devices: int) -> bool:
    """Breaks a fit off in the middle of an epoch and goes on; tells whether the losses are those of one in one go.

    Each process has random numbers of its own.
    """
    path, losses = folder / f"resumed.{devices}.ckpt", []

    class Watch(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            torch.manual_seed(7 + trainer.global_rank if trainer.ckpt_path is None else 0)
            losses.append([])

        def on_train_batch_end(
            self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            losses[-1].append(float(outputs["loss"]))
            if trainer.global_step == 4 and trainer.ckpt_path is None:
                trainer.save_checkpoint(path)

    for ckpt_path in (None, path):
        trainer = create_trainer(devices, max_epochs=2, callbacks=[Watch()])
        trainer.fit(language_model(dropout=0.5), datamodule=stream_data(folder, devices), ckpt_path=ckpt_path)
    whole, rest = losses
    same = torch.tensor(float(rest == whole[4:] and len(rest) > 2))
    return bool(trainer.strategy.reduce(same, reduce_op="mean") == 1)


def break_off(folder: Path, how: str) -> None:
    """Has the second of two processes fail, or be interrupted, in the fourth step."""

    class Breaking(Callback):
        def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor) -> None:
            if trainer.global_rank == 1 and trainer.global_step == 3:
                if how == "error":
                    raise KeyError("one of them failed")
                os.kill(os.getpid(), signal.SIGINT)

    trainer = create_trainer(2, max_epochs=2, callbacks=[Breaking(), InterruptCheckpoint()])
    trainer.logger = CSVLogger(folder, name=how, version=0)
    trainer.fit(language_model(), datamodule=stream_data(folder, 2))


def streams(folder: Path, devices: int, **arguments: Any) -> dict[str, float]:
    """Fits a language model on four streams and returns scores and weights."""
    task, data = language_model(), stream_data(folder, devices, **arguments)
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
    if sys.argv[2] in ("error", "interrupt"):
        break_off(Path(sys.argv[1]), sys.argv[2])
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]))
