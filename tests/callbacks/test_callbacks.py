"""What the callbacks print, draw and write."""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import logging
import os
import signal
import sys
import time

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

import seqmodels
from seqmodels.callbacks.confusion_picture import ConfusionPicture
from seqmodels.callbacks.data_summary import DataSummary
from seqmodels.callbacks.dry_run import DryRun
from seqmodels.callbacks.epoch_lines import EpochLines
from seqmodels.callbacks.interrupt_checkpoint import InterruptCheckpoint
from seqmodels.callbacks.prediction_writer import PredictionWriter
from seqmodels.callbacks.run_report import RunReport, machine
from seqmodels.errors import ConfigurationError


def test_the_confusion_matrix_is_drawn(toy, tmp_path):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "pictures"
    logger = TensorBoardLogger(tmp_path / "logs")
    trainer, task, data = toy.fit("label", logger=logger, callbacks=[ConfusionPicture(str(folder))], max_epochs=1)
    trainer.test(task, datamodule=data, verbose=False)
    for split in ("val", "test"):
        assert (folder / f"confusion_{split}.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_a_fit_and_a_test_go_on(toy, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    caplog.set_level(logging.INFO)
    trainer, task, data = toy.fit("label", callbacks=[ConfusionPicture(str(tmp_path))], max_epochs=1)
    trainer.test(task, datamodule=data, verbose=False)
    assert not list(tmp_path.iterdir())
    assert "no picture of the confusion matrix: it needs matplotlib, pip install 'seqmodels[plots]'" in caplog.text


def test_no_matrix_is_drawn_of_several_labels_or_entities(toy, tmp_path):
    for kind in ("labels", "entities"):
        toy.fit(kind, callbacks=[ConfusionPicture(str(tmp_path))])
    assert not list(tmp_path.iterdir())


def test_the_summary_tells_of_data_and_network(toy, capsys):
    _, task, _ = toy.fit("tags", callbacks=[DataSummary()])
    printed = capsys.readouterr().out
    assert "train" in printed
    assert "validation" in printed
    assert f"parameters: {sum(p.numel() for p in task.network.parameters()):,} (embedder " in printed


def test_a_dry_run_prints_shapes(toy, capsys):
    toy.fit("tags", callbacks=[DryRun()], fast_dev_run=True)
    printed = capsys.readouterr().out
    for name in ("ids", "lengths", "targets", "logits"):
        assert f"  {name} " in printed
    assert "dry run: one batch of training and of validation went through" in printed


def test_each_epoch_is_a_line(toy, capsys):
    toy.fit("label", callbacks=[EpochLines()], max_epochs=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    assert all("val_accuracy 0." in line or "val_accuracy 1." in line for line in lines)


class Losses(Callback):
    """Keeps the loss of each step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(outputs["loss"].item())


def test_the_line_of_an_epoch_has_the_mean_of_its_steps(toy, capsys):
    losses = Losses()
    toy.fit("label", callbacks=[losses, EpochLines()], max_epochs=2, log_every_n_steps=1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    steps = len(losses.seen) // 2
    assert steps > 1
    for line, part in zip(lines, (losses.seen[:steps], losses.seen[steps:]), strict=True):
        assert f"train_loss {sum(part) / steps:.4f}" in line


class Failing(Callback):
    """Fails in a step."""

    def __init__(self, step, error):
        self.step = step
        self.error = error

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_a_broken_off_fit_leaves_a_checkpoint(toy, tmp_path, error, capsys):
    callbacks = [InterruptCheckpoint(), Failing(4, error)]
    with pytest.raises((RuntimeError, SystemExit, KeyboardInterrupt)):
        toy.fit("label", logger=CSVLogger(tmp_path), callbacks=callbacks, max_epochs=3)
    (path,) = tmp_path.rglob("interrupted.ckpt")
    assert f"broken off after 4 steps; go on with --ckpt_path {path}" in capsys.readouterr().err
    trainer = toy.trainer(max_epochs=3)
    trainer.fit(toy.task("label"), datamodule=toy.data("label"), ckpt_path=path)
    assert trainer.global_step == 9
    assert len(seqmodels.load(path).predict(["great"])) == 1


class FailingValidation(Callback):
    """Fails before a batch of the first validation, or after it."""

    def __init__(self, batch, after):
        self.batch, self.after = batch, after

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if not self.after and (trainer.current_epoch, batch_idx) == (0, self.batch):
            raise RuntimeError("broken")

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if self.after and (trainer.current_epoch, batch_idx) == (0, self.batch):
            raise RuntimeError("broken")


class Scores(Callback):
    """Keeps the loss of each validation."""

    def __init__(self):
        self.seen = []

    def on_validation_end(self, trainer, pl_module):
        self.seen.append(trainer.callback_metrics["val_loss"].item())


@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("after", [False, True])
def test_a_validation_that_was_broken_off_is_repeated(toy, tmp_path, batch, after):
    whole, resumed = (Losses(), Scores()), (Losses(), Scores())
    data = {"batch_size": 3}
    toy.fit("label", data=toy.data("label", **data), callbacks=[*whole], max_epochs=3)
    options = {"logger": CSVLogger(tmp_path), "callbacks": [InterruptCheckpoint(), FailingValidation(batch, after)]}
    with pytest.raises(RuntimeError, match="broken"):
        toy.fit("label", data=toy.data("label", **data), max_epochs=3, **options)
    (path,) = tmp_path.rglob("interrupted.ckpt")
    trainer = toy.trainer(max_epochs=3, callbacks=[*resumed])
    trainer.fit(toy.task("label"), datamodule=toy.data("label", **data), ckpt_path=path)
    assert resumed[1].seen == whole[1].seen
    steps = len(whole[0].seen) // 3
    assert resumed[0].seen == whole[0].seen[steps:]


class Interrupting(Callback):
    """Sends Ctrl-C before a step or within it."""

    def __init__(self, step, within):
        self.step, self.within = step, within

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step and not self.within:
            os.kill(os.getpid(), signal.SIGINT)

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == self.step and self.within:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("within", [False, True])
def test_a_run_broken_off_by_an_error_and_then_by_ctrl_c_validates_all_the_same(toy, tmp_path, within):
    """Whatever broke off before, each epoch ends with a validation and a step of its schedule."""
    halving = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)

    def run(breaking, path=None):
        recorded = Losses(), Scores()
        logger = CSVLogger(tmp_path, version=f"at_{breaking and breaking.step}")
        callbacks = [*recorded, *([breaking] if breaking else []), InterruptCheckpoint()]
        trainer = toy.trainer(max_epochs=3, callbacks=callbacks, logger=logger)
        with contextlib.suppress(RuntimeError, SystemExit, KeyboardInterrupt):
            trainer.fit(toy.task("label", lr_scheduler=halving), datamodule=toy.data("label"), ckpt_path=path)
        found = sorted((tmp_path / "lightning_logs" / f"at_{breaking and breaking.step}").rglob("interrupted.ckpt"))
        return [each.seen for each in recorded], trainer.optimizers[0].param_groups[0]["lr"], *found

    (losses, scores), rate = run(None)
    (first, _), _, path = run(Failing(1, RuntimeError("broken")))
    (second, early), _, path = run(Interrupting(4, within), path)
    (third, late), last_rate = run(None, path)
    assert first + second + third == losses
    assert early + late == scores
    assert last_rate == rate


def test_a_fit_that_had_not_begun_leaves_none(toy, tmp_path):
    with pytest.raises(RuntimeError, match="broken"):
        toy.fit(
            "label", logger=CSVLogger(tmp_path), callbacks=[InterruptCheckpoint(), Failing(0, RuntimeError("broken"))]
        )
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_run_is_reported(toy, tmp_path):
    trainer, task, data = toy.fit("label", callbacks=[RunReport(str(tmp_path))], max_epochs=2)
    report = json.loads((tmp_path / "results.json").read_text())
    assert report["epochs"] == 2
    assert report["steps"] == 6
    assert report["parameters"] == sum(p.numel() for p in task.parameters())
    assert report["tokens_per_second"] > 0
    assert 0 <= report["cpu_seconds"] < 60
    assert report["machine"] == machine()
    trainer.test(task, datamodule=data, verbose=False)
    after = json.loads((tmp_path / "results.json").read_text())
    assert after["steps"] == 6
    assert 0 <= after["test_accuracy"] <= 1


class Sleeping(Callback):
    """Makes each validation last."""

    slept = 0.0

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if batch_idx == 0:
            time.sleep(0.5)
            self.slept += 0.5


@pytest.mark.parametrize(
    "arguments", [{"max_epochs": 2, "val_check_interval": 2}, {"max_steps": 5, "max_epochs": 2}, {"max_steps": 2}]
)
def test_speed_is_that_of_the_training_steps(toy, tmp_path, arguments):
    sleeping = Sleeping()
    trainer, _, data = toy.fit("label", callbacks=[RunReport(str(tmp_path)), sleeping], **arguments)
    report = json.loads((tmp_path / "results.json").read_text())
    tokens = sum(int(batch.lengths.sum()) for batch in data.train_dataloader()) * trainer.global_step / 3
    seconds = tokens / report["tokens_per_second"]
    assert seconds < report["fit_seconds"] - 0.9 * sleeping.slept + 0.2


@pytest.mark.parametrize("kind", ["label", "labels", "tags"])
@pytest.mark.parametrize("ending", ["jsonl", "csv", "conll"])
def test_predictions_are_written_in_the_order_of_the_file(toy, checkpoints, tmp_path, kind, ending):
    if ending == "conll" and kind != "tags":
        pytest.skip("for taggers")
    data = toy.data(kind, predict=str(toy.data(kind).given["test"]))
    data.use_checkpoint(checkpoints[kind])
    output = tmp_path / f"predicted.{ending}"
    task = seqmodels.Task.load_from_checkpoint(checkpoints[kind])
    toy.trainer(callbacks=[PredictionWriter(str(output))]).predict(task, datamodule=data, return_predictions=False)
    examples = list(data.predict_examples)
    expected = seqmodels.load(checkpoints[kind]).predict(examples)
    text = output.read_text()
    if ending == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
        assert [row["tags" if kind == "tags" else kind] for row in rows] == expected
        key = "tokens" if kind == "tags" else "text"
        assert [row[key] for row in rows] == [example[key] for example in examples]
    elif ending == "csv":
        rows = list(csv.DictReader(text.splitlines()))
        joined = [value if isinstance(value, str) else " ".join(value) for value in expected]
        assert [row["prediction"] for row in rows] == joined
    else:
        blocks = text.strip().split("\n\n")
        found = [[line.split("\t")[1] for line in block.splitlines()] for block in blocks]
        assert found == expected


def test_predictions_go_to_standard_output(toy, checkpoints, capsys):
    data = toy.data("label", predict=str(toy.folder / "test.txt"))
    data.use_checkpoint(checkpoints["label"])
    task = seqmodels.Task.load_from_checkpoint(checkpoints["label"])
    toy.trainer(callbacks=[PredictionWriter()]).predict(task, datamodule=data, return_predictions=False)
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]) == 11


def test_wrong_outputs_are_refused(toy, checkpoints, tmp_path):
    with pytest.raises(ConfigurationError, match="unknown format 'xml'; known: jsonl, conll, csv"):
        PredictionWriter("x.xml", format="xml")
    with pytest.raises(ConfigurationError, match=r"--output .*absent.*: there is no folder .*; make it first"):
        PredictionWriter(str(tmp_path / "absent" / "x.jsonl"))
    data = toy.data("label", predict=str(toy.folder / "test.txt"))
    data.use_checkpoint(checkpoints["label"])
    task = seqmodels.Task.load_from_checkpoint(checkpoints["label"])
    writer = PredictionWriter(str(tmp_path / "x.conll"))
    with pytest.raises(ConfigurationError, match=r"conll is for taggers; this model gives labels"):
        toy.trainer(callbacks=[writer]).predict(task, datamodule=data, return_predictions=False)
