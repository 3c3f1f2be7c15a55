"""The callback that logs how far gradients reach."""

from __future__ import annotations

import csv

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.loggers import CSVLogger

from seqmodels.callbacks.gradient_flow import GradientFlow, gradients_by_distance
from seqmodels.errors import ConfigurationError


def logged(folder):
    with open(folder / "metrics.csv", encoding="utf-8") as stream:
        return [
            {name: float(value) for name, value in row.items() if name.startswith("gradient_flow/") and value}
            for row in csv.DictReader(stream)
        ]


@pytest.mark.parametrize("kind", ["label", "tags", "features"])
def test_norms_are_logged_by_distance(toy, tmp_path, kind):
    logger = CSVLogger(tmp_path, name="", version="")
    toy.fit(kind, logger=logger, callbacks=[GradientFlow(every_n_steps=2, chunk=1)], max_steps=3)
    rows = [row for row in logged(tmp_path) if row]
    assert len(rows) == 2
    assert {"gradient_flow/1_to_1", "gradient_flow/2_to_3", "gradient_flow/4_to_7"} <= set(rows[0])
    assert all(value > 0 for value in rows[0].values())


def test_a_fit_is_not_disturbed(toy):
    arguments = {"encoder": {"name": "lstm", "hidden_size": 7, "num_layers": 2, "dropout": 0.5}}
    weights = []
    for callbacks in ([], [GradientFlow(every_n_steps=1, chunk=2)]):
        torch.manual_seed(3)
        _, task, _ = toy.fit("label", task=toy.task("label", **arguments), callbacks=callbacks, max_steps=3)
        assert task.training or not callbacks
        weights.append([parameter.detach().clone() for parameter in task.parameters()])
    assert all(map(torch.equal, *weights))


def test_norms_equal_full_autograd(toy):
    """Of a classifier that reads the last output, all of the loss goes through it."""
    task = toy.task("label", encoder={"name": "elman", "hidden_size": 7})
    _, task, data = toy.fit("label", task=task)
    batch = next(iter(data.train_dataloader()))
    found = gradients_by_distance(task, batch, 1)
    network, cell = task.network, task.network.encoder.cell
    embedded = network.embedder(batch.inputs, batch.lengths)
    states = [torch.zeros(batch.size, 7, requires_grad=True)]
    for step in embedded.unbind(1):
        states.append(torch.tanh(cell.from_input(step) + cell.from_state(states[-1])))
    outputs = torch.stack(states[1:], dim=1)

    class Given(type(network.encoder)):
        def forward(self, inputs, lengths, state=None):
            return outputs, None

    encoder, network.encoder = network.encoder, Given(cell)
    loss, _ = task.loss(network(batch), batch)
    network.encoder = encoder
    gradients = torch.autograd.grad(batch.size * loss, states, allow_unused=True)
    nearest = [gradients[length - 1][row].norm() for row, length in enumerate(batch.lengths.tolist())]
    assert found["gradient_flow/1_to_1"] == pytest.approx(float(torch.stack(nearest).mean()), rel=1e-4)


def test_an_encoder_that_reads_the_future_is_told_of(toy, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr("seqmodels.callbacks.gradient_flow.rank_zero_info", lines.append)
    task = toy.task("label", encoder={"name": "lstm", "hidden_size": 7, "bidirectional": True})
    logger = CSVLogger(tmp_path, name="", version="")
    toy.fit("label", task=task, logger=logger, callbacks=[GradientFlow(every_n_steps=1)])
    assert not any(logged(tmp_path))
    assert lines == ["GradientFlow: LSTM reads the future and carries no state; nothing is logged"]


def test_refuses_what_makes_no_sense(toy):
    with pytest.raises(ConfigurationError, match="every_n_steps must be at least 1, got 0"):
        GradientFlow(every_n_steps=0)
    with pytest.raises(ConfigurationError, match="chunk must be at least 1, got -1"):
        GradientFlow(chunk=-1)
    with pytest.raises(ConfigurationError, match="needs a task of seqmodels, got LightningModule"):
        GradientFlow().on_fit_start(None, LightningModule())
