"""Two processes find what one finds, on sets whose sizes neither two nor the batch divide."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqmodels import SequencePairs, Translator


def start(folder, argument):
    script = Path(__file__).parent / "distributed.py"
    # a seed left by another test would be set again where processes start together, and only there
    inherited = {name: value for name, value in os.environ.items() if name != "PL_GLOBAL_SEED"}
    return subprocess.run(
        [sys.executable, script, folder, str(argument)],
        capture_output=True,
        text=True,
        timeout=180,
        env={**inherited, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )


def run(folder, devices):
    done = start(folder, devices)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def test_two_processes_score_as_one(toy, checkpoints):
    assert checkpoints["label"].exists()
    write_pairs(toy)
    one, two = run(toy.folder, 1), run(toy.folder, 2)
    for kind in ("label", "tags", "entities"):
        assert two[kind] == pytest.approx(one[kind], abs=1e-6), kind
        assert {name.removeprefix("test_") for name in one[kind]} >= {"loss", "accuracy"}
        files = [(toy.folder / f"{kind}.{devices}.jsonl").read_text() for devices in (1, 2)]
        assert [strip(line) for line in files[0].splitlines()] == [strip(line) for line in files[1].splitlines()]
        assert len(files[0].splitlines()) == 11
    assert two["streams"] == pytest.approx(one["streams"], rel=1e-5)  # whole streams, the same whoever owns them
    assert two["documents"] == pytest.approx(one["documents"], rel=1e-5)  # some of which end in one process first
    assert one["resumed"]
    assert two["resumed"]
    assert two["pairs"] == pytest.approx(one["pairs"], rel=1e-5)
    assert one["pairs"]["test_bleu"] > 0
    assert two["label"]["equal_weights"]
    assert two["label"]["finite"]


def test_an_error_of_one_process_is_that_of_all(toy):
    assert toy.data("label").given["train"]  # which are written
    done = start(toy.folder, "error")
    assert done.returncode != 0
    assert "KeyError: 'one of them failed'" in done.stderr
    assert "process 1 broke off after 3 steps, without the others; go on with the last checkpoint" in done.stderr
    assert not list(toy.folder.rglob("interrupted.ckpt"))


def test_ctrl_c_to_one_process_breaks_all_off_after_the_same_step(toy):
    done = start(toy.folder, "interrupt")
    (path,) = toy.folder.rglob("interrupted.ckpt")
    assert f"broken off after 4 steps; go on with --ckpt_path {path}" in done.stderr
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["global_step"] == 4
    assert len(checkpoint["carried_state"]) == len(checkpoint["rng_state"]) == 2


def write_pairs(toy):
    """Writes eleven pairs, and a translator of them that is trained a little."""
    rows = [" ".join("abcdefg"[(row * place) % 7] for place in range(1, 2 + row % 4)) for row in range(11)]
    for side, lines in (("in", rows), ("out", [row[::-1] for row in rows])):
        (toy.folder / f"pairs.{side}").write_text("".join(f"{line}\n" for line in lines))
    reader = {"name": "parallel", "source": "in", "target": "out"}
    data = SequencePairs(reader, train=str(toy.folder / "pairs"), tokenizer="word", batch_size=3)
    small = {"encoder": {"name": "gru", "hidden_size": 7}, "decoder": {"layer": {"name": "gru", "hidden_size": 5}}}
    task = Translator(**small, optimizer={"class_path": "torch.optim.Adam", "init_args": {"lr": 0.05, "fused": True}})
    trainer, _, _ = toy.fit("pairs", task=task, data=data, max_steps=30)
    trainer.save_checkpoint(toy.folder / "pairs.ckpt")


def strip(line):
    row = json.loads(line)
    return {key: value for key, value in row.items() if key != "probabilities"}
