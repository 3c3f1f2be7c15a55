"""The worked example of an encoder from a package outside: trained by name under both tasks, and loaded back."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import seqmodels
from seqmodels.encoders import Unrolled

FOLDER = Path(__file__).parent / "leaky_package"
sys.path.insert(0, str(FOLDER))
importlib.import_module("leaky")


def test_is_as_short_as_promised():
    code = [line for line in (FOLDER / "leaky.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 20


@pytest.mark.parametrize("kind", ["label", "entities"])
@pytest.mark.parametrize(
    "encoder",
    [
        {"name": "leaky", "hidden_size": 11},
        {"name": "bidirectional", "layer": {"name": "leaky", "hidden_size": 7}},
        {"name": "stacked", "layers": [{"name": "leaky", "hidden_size": 7}, {"name": "lstm", "hidden_size": 7}]},
    ],
    ids=lambda encoder: encoder["name"],
)
def test_learns_by_name_and_is_loaded_back(toy, kind, encoder, tmp_path):
    quick = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.03}}
    data = toy.data(kind)
    data.given["validation"] = data.given["train"]
    task = toy.task(kind, encoder=encoder, optimizer=quick)
    trainer, task, _ = toy.fit(kind, task=task, data=data, max_steps=100, check_val_every_n_epoch=1000)
    assert trainer.validate(task, datamodule=data, verbose=False)[0]["val_accuracy"] > 0.9
    trainer.save_checkpoint(tmp_path / "leaky.ckpt")
    loaded = seqmodels.load(tmp_path / "leaky.ckpt")
    if encoder["name"] == "leaky":
        assert isinstance(loaded.network.encoder, Unrolled)
    examples = list(data.examples("train"))
    found = loaded.predict(examples)
    gold = [example["tags" if kind == "entities" else "label"] for example in examples]
    assert sum(a == b for a, b in zip(found, gold, strict=True)) > 0.7 * len(gold)
