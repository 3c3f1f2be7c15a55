"""Averaging from the moment on when a score gets no better: when it begins, what it is, and going on from it."""

from __future__ import annotations

import functools
import math
import os
import signal

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

import seqmodels
from seqmodels.callbacks.interrupt_checkpoint import InterruptCheckpoint
from seqmodels.callbacks.non_monotone_averaging import NonMonotoneAveraging
from seqmodels.errors import CheckpointError, ConfigurationError

SGD = functools.partial(torch.optim.SGD, lr=0.1)
# The loss of the first epochs falls, so that it seems worse and worse to one who wants it to rise.
FALLING = {"monitor": "val_loss", "mode": "max", "patience": 1}


class Recorder(Callback):
    """Keeps the weights after each step, and those that validation sees."""

    def __init__(self):
        self.steps, self.validated = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps.append(weights_of(pl_module))

    def on_validation_epoch_end(self, trainer, pl_module):
        self.validated.append(weights_of(pl_module))


def weights_of(task):
    return {name: parameter.detach().clone() for name, parameter in task.network.named_parameters()}


def mean(all_weights):
    return {name: torch.stack([weights[name] for weights in all_weights]).mean(0) for name in all_weights[0]}


def fit(toy, averaging, *, epochs=6, ckpt_path=None, task=None, **arguments):
    """Trains for epochs of 3 steps; returns the trainer, the task and what was recorded."""
    recorder = Recorder()
    task = toy.task("label", optimizer=SGD, dropout=0.25) if task is None else task
    trainer = toy.trainer(max_epochs=epochs, callbacks=[averaging, recorder], **arguments)
    trainer.fit(task, datamodule=toy.data("label"), ckpt_path=ckpt_path)
    return trainer, task, recorder


def close(first, second):
    assert set(first) == set(second)
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=1e-6, rtol=1e-5, msg=name)


def test_the_average_is_the_mean_from_the_trigger_on(toy):
    """After the third validation, the first that has one before the last to be compared with."""
    averaging = NonMonotoneAveraging(**FALLING)
    trainer, task, recorder = fit(toy, averaging)
    assert averaging.averaging
    close(recorder.validated[1], recorder.steps[5])
    close(recorder.validated[2], recorder.steps[8])
    close(recorder.validated[3], mean(recorder.steps[8:12]))
    close(recorder.validated[5], mean(recorder.steps[8:18]))
    close(weights_of(task), mean(recorder.steps[8:18]))
    wanted = trainer.validate(task, datamodule=toy.data("label"), verbose=False)[0]["val_loss"]
    assert wanted == pytest.approx(trainer.callback_metrics["val_loss"].item())


def test_training_goes_on_from_the_weights_themselves(toy):
    _, _, averaged = fit(toy, NonMonotoneAveraging(**FALLING))
    _, task, plain = fit(toy, NonMonotoneAveraging("val_loss", mode="min", patience=100))
    for first, second in zip(averaged.steps, plain.steps, strict=True):
        close(first, second)
    close(weights_of(task), plain.steps[-1])


def test_steps_are_counted_where_gradients_accumulate(toy):
    averaging = NonMonotoneAveraging(**FALLING)
    _, task, recorder = fit(toy, averaging, accumulate_grad_batches=2)  # 2 steps an epoch: after batches 2 and 3
    after = [recorder.steps[place] for place in (8, 10, 11, 13, 14, 16, 17)]
    close(weights_of(task), mean(after))


@pytest.mark.parametrize(
    ("mode", "scores", "begins"),
    [
        ("min", [5, 4, 3, 2, 1], None),
        ("min", [1, 2, 3, 4, 5], 3),
        ("min", [5, 4, 6, 5, 4, 4, 4, 5], 7),
        ("min", [5, math.nan, math.nan, 4, math.nan], 4),
        ("max", [5, 4, 3, 2, 1], 3),
        ("max", [1, 1, 1, 1, 1], None),
    ],
)
def test_it_begins_as_in_the_paper(toy, mode, scores, begins):
    """At the first t with v_t worse than the best of v_0 .. v_[t - 3], for patience 2."""

    class Told(Callback):
        def on_validation_epoch_end(self, trainer, pl_module):
            if not trainer.sanity_checking:
                pl_module.log("told", float(scores[trainer.current_epoch]))
            seen.append(averaging.averaging)

    seen = []
    averaging = NonMonotoneAveraging("told", mode=mode, patience=2)
    task = toy.task("label", optimizer=SGD)
    callbacks = [Told(), averaging]
    trainer = toy.trainer(max_epochs=len(scores), callbacks=callbacks, limit_train_batches=1, num_sanity_val_steps=1)
    trainer.fit(task, datamodule=toy.data("label"))
    seen = [*seen[2:], averaging.averaging]  # without the sanity check, and after each validation
    assert (seen.index(True) if any(seen) else None) == begins


def test_checkpoints_hold_the_average_and_load_without_the_callback(toy, tmp_path):
    recorder = Recorder()
    every_two = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=2, save_top_k=-1)
    alone = ModelCheckpoint(tmp_path, "alone-{step}", every_n_epochs=1, save_weights_only=True, save_top_k=-1)
    trainer = toy.trainer(
        max_epochs=5, enable_checkpointing=True, callbacks=[NonMonotoneAveraging(**FALLING), recorder, every_two, alone]
    )
    task = toy.task("label", optimizer=SGD)
    trainer.fit(task, datamodule=toy.data("label"))
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    averages = {"step=14": 14, "alone-step=12": 12, "end": 15}
    wanted = {name: mean(recorder.steps[8:steps]) for name, steps in averages.items()}
    wanted |= {"step=6": recorder.steps[5], "alone-step=9": recorder.steps[8]}
    for name, weights in wanted.items():
        predictor = seqmodels.load(tmp_path / f"{name}.ckpt")
        close(dict(predictor.network.named_parameters()), weights)
    trainer = toy.trainer(callbacks=[NonMonotoneAveraging(**FALLING)])
    again = toy.task("label", optimizer=SGD)
    trainer.test(again, datamodule=toy.data("label"), ckpt_path=tmp_path / "end.ckpt", verbose=False)
    close(weights_of(again), wanted["end"])


@pytest.mark.parametrize("stop", [2, 3, 5], ids=["before it begins", "as it begins", "after it began"])
def test_going_on_from_a_checkpoint_equals_not_breaking_off(toy, tmp_path, stop):
    path = tmp_path / "part.ckpt"
    trainer, _, _ = fit(toy, NonMonotoneAveraging(**FALLING), epochs=stop)
    trainer.save_checkpoint(path)
    torch.load(path, weights_only=True)
    whole_trainer, whole, recorder = fit(toy, NonMonotoneAveraging(**FALLING), epochs=7)
    trainer, task, rest = fit(toy, NonMonotoneAveraging(**FALLING), epochs=7, ckpt_path=path)
    for first, second in zip(rest.steps, recorder.steps[3 * stop :], strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(value, weights_of(whole)[name]) for name, value in weights_of(task).items())
    assert trainer.callback_metrics["val_loss"] == whole_trainer.callback_metrics["val_loss"]


def test_going_on_in_the_middle_of_an_epoch(toy, tmp_path):
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=14)
    trainer = toy.trainer(max_epochs=6, enable_checkpointing=True, callbacks=[NonMonotoneAveraging(**FALLING), keep])
    whole = toy.task("label", optimizer=SGD, dropout=0.25)
    trainer.fit(whole, datamodule=toy.data("label"))
    _, task, _ = fit(toy, NonMonotoneAveraging(**FALLING), ckpt_path=tmp_path / "step=14.ckpt")
    assert all(torch.equal(value, weights_of(whole)[name]) for name, value in weights_of(task).items())


def test_a_step_after_which_ctrl_c_breaks_off_is_in_the_average(toy, tmp_path):
    class Interrupting(Callback):
        def on_before_backward(self, trainer, pl_module, loss):
            if trainer.global_step == 13:
                os.kill(os.getpid(), signal.SIGINT)

    _, whole, _ = fit(toy, NonMonotoneAveraging(**FALLING))
    callbacks = [NonMonotoneAveraging(**FALLING), Interrupting(), InterruptCheckpoint()]
    trainer = toy.trainer(max_epochs=6, callbacks=callbacks, logger=CSVLogger(tmp_path))
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        trainer.fit(toy.task("label", optimizer=SGD, dropout=0.25), datamodule=toy.data("label"))
    (path,) = tmp_path.rglob("interrupted.ckpt")
    assert torch.load(path, weights_only=True)["non_monotone_averaging"]["step"] == 14
    _, task, _ = fit(toy, NonMonotoneAveraging(**FALLING), ckpt_path=path)
    assert all(torch.equal(value, weights_of(whole)[name]) for name, value in weights_of(task).items())


def test_the_same_callback_serves_another_module(toy):
    averaging = NonMonotoneAveraging(**FALLING)
    fit(toy, averaging)
    _, first, _ = fit(toy, averaging)
    _, second, _ = fit(toy, NonMonotoneAveraging(**FALLING))
    close(weights_of(first), weights_of(second))


def test_a_second_fit_goes_on_with_the_weights_themselves(toy):
    averaging = NonMonotoneAveraging(**FALLING)
    _, task, before = fit(toy, averaging, epochs=4)
    _, _, after = fit(toy, averaging, epochs=1, task=task)
    distance = sum((after.steps[0][name] - value).abs().sum() for name, value in before.steps[-1].items())
    from_average = sum((after.steps[0][name] - value).abs().sum() for name, value in mean(before.steps[8:]).items())
    assert distance < from_average


def test_what_it_cannot_do_is_refused(toy):
    with pytest.raises(ConfigurationError, match="patience must be 1 or more validations, got 0"):
        NonMonotoneAveraging(patience=0)
    with pytest.raises(ConfigurationError, match="mode must be min or max, got 'most'"):
        NonMonotoneAveraging(mode="most")
    with pytest.raises(ConfigurationError, match=r"validation gave no score 'val_los'; there are: .*val_loss"):
        fit(toy, NonMonotoneAveraging("val_los"), epochs=1)


def test_averages_of_another_network_are_refused(toy, tmp_path):
    trainer, _, _ = fit(toy, NonMonotoneAveraging(**FALLING), epochs=4)
    trainer.save_checkpoint(tmp_path / "part.ckpt")
    checkpoint = torch.load(tmp_path / "part.ckpt", weights_only=True)
    checkpoint["non_monotone_averaging"]["average"]["network.other"] = torch.zeros(1)
    torch.save(checkpoint, tmp_path / "part.ckpt")
    with pytest.raises(CheckpointError, match=r"averaged weights of what the network has not: network\.other"):
        fit(toy, NonMonotoneAveraging(**FALLING), ckpt_path=tmp_path / "part.ckpt")
