"""Optimisers and schedules in every way that they can be given, and what the Trainer and its callbacks do with them."""

from __future__ import annotations

import functools
import inspect
import math

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, StochasticWeightAveraging, WeightAveraging

import seqmodels
from seqmodels import SequenceClassifier, SequenceTagger, Task
from seqmodels.errors import CheckpointError, ConfigurationError
from seqmodels.tasks.optimizers import from_record, schedule_config, to_record
from seqmodels.tasks.plain import to_plain
from seqmodels.tasks.schedules import WarmupConstant, WarmupCosine, WarmupLinear

SGD = "torch.optim.sgd.SGD"


class Rates:
    """Records the learning rate of each step."""

    def __init__(self):
        from lightning.pytorch import Callback

        outer = self
        self.rates = []

        class Recorder(Callback):
            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                outer.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

        self.callback = Recorder()


@pytest.mark.parametrize(
    "given",
    [
        torch.optim.SGD,
        functools.partial(torch.optim.SGD, lr=0.125),
        {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.125}},
        {"class_path": "torch.optim.SGD"},
    ],
)
def test_an_optimizer_is_a_class_a_partial_or_a_record(toy, given, tmp_path, recwarn):
    trainer, _, _ = toy.fit("label", task=toy.task("label", optimizer=given))
    assert isinstance(trainer.optimizers[0], torch.optim.SGD)
    path = tmp_path / "model.ckpt"
    trainer.save_checkpoint(path)
    checkpoint = torch.load(path, weights_only=True)
    recorded = checkpoint["seqmodels"]["model"]["init_args"]["optimizer"]
    assert recorded["class_path"].rpartition(".")[2] == "SGD"
    again = Task.load_from_checkpoint(path)
    rate = again.optimizer_factory(list(again.parameters())).param_groups[0]["lr"]
    assert rate == trainer.optimizers[0].param_groups[0]["lr"]
    assert not [warning for warning in recwarn if "cannot record" in str(warning.message)]


@pytest.mark.parametrize("name", ["optimizer", "lr_scheduler"])
def test_a_lambda_trains_with_a_warning(toy, name, tmp_path):
    given = {
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.25),
        "lr_scheduler": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1),
    }[name]
    with pytest.warns(UserWarning, match=f"{name} is neither a class nor a functools.partial.*cannot record it"):
        task = toy.task("label", **{name: given})
    trainer, _, _ = toy.fit("label", task=task)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    assert name not in torch.load(tmp_path / "model.ckpt", weights_only=True)["seqmodels"]["model"]["init_args"]
    assert len(seqmodels.load(tmp_path / "model.ckpt").predict(["great"])) == 1


def test_arguments_that_are_no_plain_types_are_not_recorded():
    assert to_record(functools.partial(torch.optim.SGD, lr=torch.tensor(0.1))) is None
    assert to_record(lambda parameters: None) is None
    assert to_record(None) is None
    record = to_record(functools.partial(torch.optim.Adam, lr=np.float64(0.5), betas=(0.5, 0.25)))
    assert record["init_args"] == {"lr": 0.5, "betas": [0.5, 0.25]}
    assert type(record["init_args"]["lr"]) is float


def test_plain_types(tmp_path):
    given = {"path": tmp_path, 3: (1, np.int64(2), [True, None, "x"]), "nested": {"a": 0.5}}
    assert to_plain(given) == {"path": str(tmp_path), "3": [1, 2, [True, None, "x"]], "nested": {"a": 0.5}}
    with pytest.raises(ConfigurationError, match=r"expected names, numbers, lists and mappings.*got Tensor"):
        to_plain([torch.zeros(2)])


def test_fused_adam_is_the_default(toy):
    trainer, task, _ = toy.fit("label")
    optimizer = trainer.optimizers[0]
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.defaults["fused"]
    assert optimizer.defaults["lr"] == 1e-3
    assert task.arguments["optimizer"] == {
        "class_path": "torch.optim.adam.Adam",
        "init_args": {"lr": 1e-3, "fused": True},
    }


def test_a_record_names_torch_or_what_is_imported():
    assert from_record({"class_path": "torch.optim.AdamW"}).func is torch.optim.AdamW
    assert from_record({"class_path": "seqmodels.tasks.schedules.WarmupLinear"}).func is WarmupLinear
    for path in ("os.system", "subprocess.Popen", "absent.module.SGD", "torch.optim.Adan", "torch.nn.Linear"):
        with pytest.raises(CheckpointError, match=f"'{path}' is not an optimiser or schedule of torch, nor one"):
            from_record({"class_path": path})


def factors(schedule, steps, **arguments):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedule(optimizer, **arguments)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_schedules_have_the_numbers_of_their_equations():
    assert factors(WarmupConstant, 5, warmup_steps=3) == [1 / 4, 2 / 4, 3 / 4, 1, 1]
    assert factors(WarmupLinear, 7, warmup_steps=1, total_steps=5) == pytest.approx([1 / 2, 1, 0.75, 0.5, 0.25, 0, 0])
    found = factors(WarmupLinear, 6, warmup_steps=1, total_steps=5, final_fraction=0.2)
    assert found == pytest.approx([0.5, 1, 0.8, 0.6, 0.4, 0.2])
    cosine = [0.1 + 0.9 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(5)]
    assert factors(WarmupCosine, 5, total_steps=4, final_fraction=0.1) == pytest.approx(cosine)
    assert factors(WarmupLinear, 3) == [1, 1, 1]


def test_wrong_schedules_are_refused(toy):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ConfigurationError, match="warmup_steps must be 0 or more, got -1"):
        WarmupLinear(optimizer, warmup_steps=-1)
    with pytest.raises(ConfigurationError, match=r"final_fraction must be in \[0, 1\], got 2"):
        WarmupCosine(optimizer, final_fraction=2)
    with pytest.raises(ConfigurationError, match="lr_scheduler must make a learning rate schedule, got SGD"):
        schedule_config(optimizer, "val_loss")


def test_the_trainer_tells_a_schedule_how_long_the_training_is(toy):
    rates = Rates()
    task = toy.task("label", lr_scheduler=functools.partial(WarmupLinear, warmup_steps=2))
    toy.fit("label", task=task, max_epochs=2, callbacks=[rates.callback])
    wanted = [factor * 1e-3 for factor in (2 / 3, 1, 0.75, 0.5, 0.25, 0)]  # after each of the 2 * 3 steps
    assert rates.rates == pytest.approx(wanted)


def test_accumulated_gradients_make_fewer_steps(toy):
    rates = Rates()
    task = toy.task("label", lr_scheduler={"class_path": "seqmodels.tasks.schedules.WarmupLinear"})
    trainer, _, _ = toy.fit(
        "label", task=task, max_epochs=2, accumulate_grad_batches=2, callbacks=[rates.callback], gradient_clip_val=0.5
    )
    assert trainer.global_step == 4
    assert rates.rates[-1] == pytest.approx(0)


def test_gradients_are_clipped(toy):
    norms = []

    class Clipped(SequenceClassifier):
        def on_before_optimizer_step(self, optimizer):
            norms.append(torch.nn.utils.get_total_norm([p.grad for p in self.parameters() if p.grad is not None]))

        def configure_gradient_clipping(self, *arguments, **named):
            super().configure_gradient_clipping(*arguments, **named)
            norms.append(torch.nn.utils.get_total_norm([p.grad for p in self.parameters() if p.grad is not None]))

    torch.manual_seed(0)
    toy.fit("label", task=Clipped(encoder={"name": "lstm", "hidden_size": 7}), gradient_clip_val=0.01)
    assert norms[0] > 0.02
    assert norms[1] == pytest.approx(0.01, rel=1e-3)


def test_a_plateau_lowers_the_rate(toy):
    plateau = functools.partial(torch.optim.lr_scheduler.ReduceLROnPlateau, mode="max", patience=0, threshold=2.0)
    trainer, _, _ = toy.fit("label", task=toy.task("label", lr_scheduler=plateau), max_epochs=3)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-5)


def test_schedules_of_torch_step_by_epoch_and_one_cycle_by_step(toy):
    step = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    trainer, _, _ = toy.fit("label", task=toy.task("label", lr_scheduler=step), max_epochs=2)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.25e-3)
    cycle = functools.partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1.0, total_steps=7)
    trainer, _, _ = toy.fit("label", task=toy.task("label", lr_scheduler=cycle), max_epochs=2)
    assert trainer.lr_scheduler_configs[0].interval == "step"


@pytest.mark.parametrize("kind", ["label", "entities"])
def test_bfloat16_mixed_precision_fits_and_tests(toy, kind):
    task = toy.task(kind, crf=True) if kind == "entities" else toy.task(kind)
    trainer, task, data = toy.fit(kind, task=task, precision="bf16-mixed", gradient_clip_val=1.0)
    assert all(parameter.dtype == torch.float32 for parameter in task.parameters())
    assert all(math.isfinite(value) for value in trainer.test(task, datamodule=data, verbose=False)[0].values())


def test_early_stopping_ends_a_fit(toy):
    stop = EarlyStopping("val_accuracy", mode="max", patience=2, min_delta=2.0)
    trainer, _, _ = toy.fit("label", max_epochs=50, callbacks=[stop])
    assert trainer.current_epoch == 3


@pytest.mark.parametrize("make", [WeightAveraging, functools.partial(StochasticWeightAveraging, 1e-3, 1)])
@pytest.mark.filterwarnings("ignore:.*WeightAveraging callback with a model that overrides.*")
def test_averaged_checkpoints_average_the_network(toy, make):
    seen = []

    class Watched(SequenceClassifier):
        def on_train_batch_end(self, *arguments):
            seen.append(self.network.output.bias.detach().clone())

    torch.manual_seed(0)
    average = make()
    task = Watched(encoder={"name": "lstm", "hidden_size": 7}, optimizer=functools.partial(torch.optim.SGD, lr=0.5))
    toy.fit("label", task=task, max_epochs=4, callbacks=[average])
    assert len(seen) >= 9
    assert not torch.equal(task.network.output.bias, seen[-1])
    low, high = torch.stack(seen).amin(0) - 1e-6, torch.stack(seen).amax(0) + 1e-6
    assert ((task.network.output.bias >= low) & (task.network.output.bias <= high)).all()


@pytest.mark.parametrize("task", [SequenceClassifier, SequenceTagger])
def test_the_default_of_the_signature_is_the_one_that_is_recorded(task):
    """The command line reads the signature, a checkpoint the record."""
    made = inspect.signature(task).parameters["optimizer"].default([torch.nn.Parameter(torch.zeros(2))])
    recorded = from_record(task().arguments["optimizer"])([torch.nn.Parameter(torch.zeros(2))])
    assert type(made) is type(recorded)
    assert made.defaults == recorded.defaults


def test_a_training_bounded_by_time_alone_has_no_length_to_fall_over(toy):
    bounded = {"max_epochs": -1, "max_time": {"seconds": 1}}
    task = toy.task("label", lr_scheduler=functools.partial(WarmupCosine, warmup_steps=2))
    with pytest.raises(ConfigurationError, match=r"WarmupCosine falls over the whole training, which has no end"):
        toy.trainer(**bounded).fit(task, datamodule=toy.data("label"))
    rates = Rates()
    task = toy.task("label", lr_scheduler=functools.partial(WarmupConstant, warmup_steps=2))
    toy.trainer(**bounded, callbacks=[rates.callback]).fit(task, datamodule=toy.data("label"))
    assert rates.rates[2:] == pytest.approx([1e-3] * len(rates.rates[2:]))
