"""The average of several checkpoints: its weights, what takes it, and what is refused."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch

import seqmodels
from seqmodels import Task
from seqmodels.__main__ import main
from seqmodels.errors import CheckpointError, ConfigurationError
from seqmodels.inference.averaging import average_checkpoints


@pytest.fixture(scope="module")
def run(toy, tmp_path_factory):
    """Three checkpoints of one run."""
    folder = tmp_path_factory.mktemp("run")
    trainer, task, data = toy.fit("label", max_epochs=1)
    paths = []
    for epochs in (1, 2, 3):
        trainer.fit_loop.max_epochs = epochs
        trainer.fit(task, datamodule=data)
        paths.append(folder / f"{epochs}.ckpt")
        trainer.save_checkpoint(paths[-1])
    return paths


def weights_of(path):
    return torch.load(path, weights_only=True)["state_dict"]


def changed(path, target, change):
    checkpoint = copy.deepcopy(torch.load(path, weights_only=True))
    change(checkpoint)
    torch.save(checkpoint, target)
    return target


def test_the_weights_are_the_mean(run, tmp_path):
    average_checkpoints(run, tmp_path / "new" / "average.ckpt")
    found, parts = weights_of(tmp_path / "new" / "average.ckpt"), [weights_of(path) for path in run]
    assert list(found) == list(parts[-1])
    assert not torch.equal(parts[0]["network.output.weight"], parts[2]["network.output.weight"])
    for name, value in found.items():
        assert value.dtype == parts[-1][name].dtype
        torch.testing.assert_close(value, torch.stack([part[name] for part in parts]).mean(0), msg=name)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["average.ckpt"]


def test_it_is_loaded_and_tested_as_any_other(toy, run, tmp_path):
    path = tmp_path / "average.ckpt"
    average_checkpoints(run, str(path))
    assert len(seqmodels.load(path).predict(["the film was great"])) == 1
    task = Task.load_from_checkpoint(path)
    trainer = toy.trainer()
    expected = trainer.test(task, datamodule=toy.data("label"), verbose=False)
    found = toy.trainer().test(toy.task("label"), datamodule=toy.data("label"), ckpt_path=path, verbose=False)
    assert found == expected


def test_the_command_line_tests_it(run, tmp_path, monkeypatch, capfd):
    average_checkpoints(run, tmp_path / "average.ckpt")
    monkeypatch.chdir(tmp_path)
    assert main(["test", "--ckpt_path", "average.ckpt", "--trainer.accelerator", "cpu"]) == 0
    assert "test_accuracy" in capfd.readouterr().out


def test_the_output_may_be_one_of_the_inputs(run, tmp_path):
    paths = [shutil.copy(path, tmp_path) for path in run]
    average_checkpoints(paths, paths[-1])
    average_checkpoints(run, tmp_path / "average.ckpt")
    expected = weights_of(tmp_path / "average.ckpt")
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(paths[-1]).items())


def test_counters_are_those_of_the_last_and_shared_weights_stay_shared(run, tmp_path):
    def add(count):
        def change(checkpoint):
            weights = checkpoint["state_dict"]
            weights["network.count"] = torch.tensor(count)
            weights["network.half"] = torch.full((3,), float(count), dtype=torch.bfloat16)
            weights["network.tied"] = weights["network.output.weight"]

        return change

    paths = [changed(path, tmp_path / f"{count}.ckpt", add(count)) for count, path in zip((7, 2), run[:2], strict=True)]
    average_checkpoints(paths, tmp_path / "average.ckpt")
    found = weights_of(tmp_path / "average.ckpt")
    assert found["network.count"].item() == 2
    assert found["network.count"].dtype == torch.int64
    assert found["network.half"].tolist() == [4.5] * 3
    assert found["network.half"].dtype == torch.bfloat16
    assert found["network.tied"].data_ptr() == found["network.output.weight"].data_ptr()


def test_checkpoints_of_other_runs_are_refused(toy, run, tmp_path):
    trainer, _, _ = toy.fit("label", task=toy.task("label", encoder={"name": "lstm", "hidden_size": 11}))
    trainer.save_checkpoint(tmp_path / "wider.ckpt")
    with pytest.raises(
        CheckpointError, match=r"not of the same run as .*: network.encoder.hidden_size is 7 and 11; aver"
    ):
        average_checkpoints([run[0], tmp_path / "wider.ckpt"], tmp_path / "average.ckpt")
    fewer = changed(run[0], tmp_path / "fewer.ckpt", lambda checkpoint: checkpoint["state_dict"].popitem())
    with pytest.raises(
        CheckpointError, match=r"fewer.ckpt: not of the same run .*: weights.network.* is in the latter only"
    ):
        average_checkpoints([fewer, run[1]], tmp_path / "average.ckpt")
    with pytest.raises(CheckpointError, match="is in the former only"):
        average_checkpoints([run[1], fewer], tmp_path / "average.ckpt")
    shorter = changed(
        run[0],
        tmp_path / "shorter.ckpt",
        lambda checkpoint: checkpoint["state_dict"].update({"network.output.bias": torch.zeros(2)}),
    )
    with pytest.raises(CheckpointError, match=r"output.bias is 'torch.float32 \(2,\)' and 'torch.float32 \(3,\)'"):
        average_checkpoints([shorter, run[1]], tmp_path / "average.ckpt")
    assert not (tmp_path / "average.ckpt").exists()


def test_one_checkpoint_is_no_average_and_a_missing_one_is_named(run, tmp_path):
    with pytest.raises(ConfigurationError, match="expected two checkpoints or more to average, got 1"):
        average_checkpoints(run[:1], tmp_path / "average.ckpt")
    with pytest.raises(CheckpointError, match=r"4.ckpt: no such checkpoint"):
        average_checkpoints([*run, run[0].parent / "4.ckpt"], tmp_path / "average.ckpt")


def test_training_does_not_go_on_from_an_average(toy, run, tmp_path):
    average_checkpoints(run, tmp_path / "average.ckpt")
    with pytest.raises(KeyError, match="contains only the model"):
        toy.trainer(max_epochs=5).fit(
            toy.task("label"), datamodule=toy.data("label"), ckpt_path=tmp_path / "average.ckpt"
        )
