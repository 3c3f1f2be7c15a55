"""Where a run goes, what it keeps, and what beats what."""

from __future__ import annotations

import csv
import json
import os

import pytest
import torch
import yaml

import seqmodels
from seqmodels.callbacks.interrupt_checkpoint import InterruptCheckpoint
from seqmodels.checkpoint_file import find_checkpoint, read_record
from seqmodels.cli.arguments import put_together, take_apart

FIT = ("fit", "--config", "classifier.yaml")


def resolved(result):
    """Returns the config that `--print_config` printed."""
    assert result.status == 0, result.err
    return yaml.safe_load(result.out)


def test_what_a_run_keeps(runs):
    run = runs / "classifier" / "version_0"
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "metrics.csv", "results.json", "checkpoints", "confusion_val.png"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    with (run / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {"train_loss", "val_loss", "val_accuracy", "val_macro_f1"} <= set(rows[0])
    results = json.loads((run / "results.json").read_text())
    assert results["epochs"] == 2
    assert results["monitor"] == "val_accuracy"
    assert 0 <= results["best_score"] <= 1
    torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)


def test_a_fit_tells_what_it_does(command, folder):
    result = command(*FIT)
    assert result.status == 0
    for part in ("unknown tokens", "parameters: ", "epoch 0: ", "epoch 1: ", "best val_accuracy"):
        assert part in result.out
    assert "runs/classifier/version_0/checkpoints/best.ckpt" in result.out
    assert "Warning" not in result.err
    assert "Tip" not in result.err


def test_runs_are_numbered_and_repeatable_from_their_own_config(command, folder):
    first = command(*FIT, "--trainer.max_epochs", 1)
    second = command("fit", "--config", "runs/classifier/version_0/config.yaml")
    assert second.status == 0, second.err
    versions = [folder / "runs" / "classifier" / f"version_{number}" for number in (0, 1)]
    assert [(version / "results.json").exists() for version in versions] == [True, True]
    scores = [
        [word for line in result.out.splitlines() if line.startswith("epoch 0") for word in line.split()[:-2]]
        for result in (first, second)
    ]  # without the seconds
    assert scores[0] == scores[1]


def test_a_test_adds_its_figures_to_the_run(command, runs):
    result = command("test", "--ckpt_path", runs / "classifier" / "version_0", "--config", "classifier.yaml")
    assert result.status == 0, result.err
    results = json.loads((runs / "classifier" / "version_0" / "results.json").read_text())
    assert results["epochs"] == 2
    assert 0 <= results["test_accuracy"] <= 1


def test_a_test_with_options_of_its_own_leaves_the_scores_of_the_run(command, runs, folder):
    run = runs / "classifier" / "version_0"
    file = run / "results.json"
    assert command("test", "--ckpt_path", run).status == 0
    before = json.loads(file.read_text())
    before.pop("tests", None)  # of other tests in the same run
    config = yaml.safe_load((folder / "classifier.yaml").read_text())
    config["data"]["init_args"]["test"] = "train.tsv"
    (folder / "other.yaml").write_text(yaml.safe_dump(config))
    for options in (
        ["--data.init_args.test", "train.tsv"],
        ["--data.batch_size=1"],
        ["--data.batch_size=1"],
        ["--trainer.limit_test_batches", 1],
        ["--config", "other.yaml", "--data.batch_size=1"],
    ):
        assert command("test", "--ckpt_path", run, *options).status == 0
    after = json.loads(file.read_text())
    tests = after.pop("tests")
    assert after == before
    known = {"--data.batch_size=1", "--data.init_args.test train.tsv", "--trainer.limit_test_batches 1"}
    assert {*known, "--config other.yaml --data.batch_size=1"} <= set(tests)
    assert all(0 <= scores["test_accuracy"] <= 1 for scores in tests.values())


def test_all_callbacks_have_seen_a_step_before_ctrl_c_breaks_off(command, folder, monkeypatch):
    order = []

    def remember(self, trainer, pl_module):
        order.extend(type(callback).__name__ for callback in trainer.callbacks)

    monkeypatch.setattr(InterruptCheckpoint, "on_fit_start", remember)
    averaging = "seqmodels.callbacks.non_monotone_averaging.NonMonotoneAveraging"
    result = command(*FIT, f"--trainer.callbacks+={averaging}", "--trainer.max_epochs=1")
    assert result.status == 0, result.err
    assert order.index("NonMonotoneAveraging") < order.index("InterruptCheckpoint")


def test_validate(command, classifier):
    result = command("validate", "--ckpt_path", classifier)
    assert result.status == 0
    assert "val_accuracy" in result.out


def test_dry_run(command, folder):
    result = command(*FIT, "--dry_run")
    assert result.status == 0, result.err
    for part in ("unknown tokens", "shapes of the first batch", "logits", "parameters: ", "nothing was saved"):
        assert part in result.out
    assert not (folder / "runs").exists()


def test_without_a_logger(command, folder):
    assert command(*FIT, "--trainer.logger", "false", "--trainer.default_root_dir", "here").status == 0
    assert (folder / "here" / "checkpoints" / "best.ckpt").exists()
    assert not (folder / "runs").exists()


def test_callbacks_of_the_user_are_respected(command, folder):
    config = yaml.safe_load((folder / "classifier.yaml").read_text())
    config["trainer"]["callbacks"] = [
        {"class_path": "ModelCheckpoint", "init_args": {"monitor": "val_loss", "filename": "mine"}},
        {"class_path": "EarlyStopping", "init_args": {"monitor": "val_loss", "patience": 1, "min_delta": 9.0}},
    ]
    config["trainer"]["max_epochs"] = 7
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    result = command("fit", "--config", "own.yaml")
    assert result.status == 0, result.err
    run = folder / "runs" / "own" / "version_0"
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["mine.ckpt"]
    assert json.loads((run / "results.json").read_text())["epochs"] == 2  # stopped after the second


def test_no_validation_data(command, folder):
    result = command(*FIT, "--data.validation", "null")
    assert result.status == 0, result.err
    assert (folder / "runs" / "classifier" / "version_0" / "checkpoints" / "last.ckpt").exists()


def test_the_last_checkpoint_is_the_last_and_the_best_is_the_best(runs):
    folder = runs / "tagger" / "version_0" / "checkpoints"
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == 0
    folder = runs / "classifier" / "version_0" / "checkpoints"
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == 1


def test_going_on_from_a_checkpoint(command, folder, classifier):
    result = command(*FIT, "--ckpt_path", classifier.with_name("last.ckpt"), "--trainer.max_epochs", 3)
    assert result.status == 0, result.err
    assert [line.split(":")[0] for line in result.out.splitlines() if line.startswith("epoch")] == ["epoch 2"]


def test_going_on_in_the_middle_of_an_epoch(command, folder):
    config = yaml.safe_load((folder / "classifier.yaml").read_text())
    middle = {"every_n_train_steps": 1, "save_top_k": -1, "filename": "{step}"}
    config["trainer"]["callbacks"] = [{"class_path": "ModelCheckpoint", "init_args": middle}]
    (folder / "middle.yaml").write_text(yaml.safe_dump(config))
    assert command("fit", "--config", "middle.yaml").status == 0
    checkpoint = folder / "runs" / "middle" / "version_0" / "checkpoints" / "step=6.ckpt"  # of 4 steps an epoch
    result = command("fit", "--config", "middle.yaml", "--ckpt_path", checkpoint)
    assert result.status == 0, result.err
    assert [line.split(":")[0] for line in result.out.splitlines() if line.startswith("epoch")] == ["epoch 1"]


def test_going_on_from_a_runs_folder_takes_the_newest_and_testing_the_best(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    for age, name in enumerate(("interrupted", "last", "best")):
        (checkpoints / f"{name}.ckpt").touch()
        os.utime(checkpoints / f"{name}.ckpt", (age, age))
    assert find_checkpoint(tmp_path).name == "best.ckpt"
    assert find_checkpoint(tmp_path, to_go_on=True).name == "last.ckpt"
    os.utime(checkpoints / "interrupted.ckpt", (7, 7))
    assert find_checkpoint(tmp_path, to_go_on=True).name == "interrupted.ckpt"


def test_a_checkpoint_of_another_task_is_refused(command, tagger):
    result = command("test", "--config", "classifier.yaml", "--ckpt_path", tagger)
    assert result.status == 2
    assert "classifier.yaml: model is a SequenceClassifier, but the checkpoint" in result.err
    assert "is of a SequenceTagger; name the config that it was trained with, or none" in result.err


def test_a_monitor_of_a_callback_that_is_no_score(command, folder):
    config = yaml.safe_load((folder / "classifier.yaml").read_text())
    config["trainer"]["callbacks"] = [{"class_path": "EarlyStopping", "init_args": {"monitor": "val_acc"}}]
    (folder / "stop.yaml").write_text(yaml.safe_dump(config))
    result = command("fit", "--config", "stop.yaml")
    assert result.status == 2
    assert (
        "EarlyStopping: monitor: there is no score 'val_acc' on this data (did you mean 'val_accuracy'?)" in result.err
    )


def test_going_on_takes_the_config_of_the_run(classifier):
    parts = take_apart("fit", ["--ckpt_path", str(classifier)])
    assert parts.configs == [str(classifier.parent.parent / "config.yaml")]
    assert take_apart("test", ["--ckpt_path", str(classifier)]).configs == []


def test_typed_beats_all(command, classifier):
    config = resolved(
        command(
            "test",
            "--ckpt_path",
            classifier,
            "--data.batch_size",
            7,
            "--model.dropout",
            0.5,
            "--data.reader",
            "text",
            "--print_config",
        )
    )
    assert config["data"]["init_args"]["batch_size"] == 7
    assert config["data"]["init_args"]["reader"] == "text"
    assert config["model"]["init_args"]["dropout"] == 0.5
    assert config["model"]["init_args"]["encoder"] == {"name": "lstm", "hidden_size": 7}


def test_a_config_beats_the_data_of_the_checkpoint_and_not_its_model(command, folder, classifier):
    change = {
        "model": {"class_path": "SequenceClassifier", "init_args": {"encoder": "gru"}},
        "data": {"class_path": "LabelledSequences", "init_args": {"reader": "text", "batch_size": 5}},
    }
    (folder / "other.yaml").write_text(yaml.safe_dump(change))
    config = resolved(command("test", "--ckpt_path", classifier, "--config", "other.yaml", "--print_config"))
    assert config["data"]["init_args"]["batch_size"] == 5
    assert config["data"]["init_args"]["reader"] == "text"
    assert config["data"]["init_args"]["test"] == "test.tsv"
    assert config["model"]["init_args"]["encoder"] == {"name": "lstm", "hidden_size": 7}


def test_the_order_of_arguments(classifier):
    record = read_record(classifier)
    parts = take_apart("test", ["--trainer.max_epochs=3", "--ckpt_path", str(classifier)])
    arguments = put_together("test", parts, record)
    keys = [list(json.loads(argument)) for argument in arguments if argument.startswith("{")]
    assert keys == [["data"], ["model"]]
    assert arguments[-1] == "--trainer.max_epochs=3"


def test_a_later_config_beats_an_earlier_one(command, folder):
    (folder / "more.yaml").write_text("trainer: {max_epochs: 5}\n")
    config = resolved(command(*FIT, "--config", "more.yaml", "--print_config"))
    assert config["trainer"]["max_epochs"] == 5
    assert config["trainer"]["accelerator"] == "cpu"


def test_an_argument_of_a_spec_is_added_to_what_the_config_says(command):
    config = resolved(
        command(
            *FIT,
            "--model.encoder.num_layers",
            2,
            "--model.embedder.dropout",
            "1e-1",
            "--data.tokenizer.min_count=2",
            "--print_config",
        )
    )
    assert config["model"]["init_args"]["encoder"] == {"name": "lstm", "hidden_size": 7, "num_layers": 2}
    assert config["model"]["init_args"]["embedder"] == {"embedding_dim": 5, "dropout": 0.1}
    assert config["data"]["init_args"]["tokenizer"] == {"name": "word", "min_count": 2}


@pytest.mark.parametrize(
    "name",
    [
        *("SequenceClassifier", "SequenceTagger", "LanguageModel", "Translator"),
        *("LabelledSequences", "SequencePairs", "ContiguousStreams", "SeparateSequences"),
    ],
)
def test_the_defaults_of_specs_are_those_of_the_classes(name):
    import inspect

    from seqmodels.cli.specs import DEFAULTS, DEFAULTS_OF

    owner = getattr(seqmodels, name)
    section = "model" if issubclass(owner, seqmodels.Task) else "data"
    parameters = inspect.signature(owner).parameters
    for key, value in {**DEFAULTS, **DEFAULTS_OF.get(name, {})}.items():
        of, argument = key.split(".")
        if of == section and argument in parameters:
            assert parameters[argument].default == value


@pytest.mark.parametrize("data", [["--data=SequencePairs"], ["--data", "SequencePairs"], ["--config", "pairs.yaml"]])
def test_a_part_of_a_default_that_is_the_class_s_own_can_be_set(data, tmp_path, monkeypatch):
    from seqmodels.cli.arguments import take_apart
    from seqmodels.cli.specs import check_specs

    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.yaml").write_text("data: {class_path: seqmodels.SequencePairs}\n")
    typed = ["--data.tokenizer.vocab_size", "400", "--data.target_tokenizer.name=word"]
    parts = take_apart("fit", [*data, *typed])
    check_specs(parts, None)
    assert '--data.init_args.tokenizer={"name": "bpe", "vocab_size": 400}' in parts.options
    assert '--data.init_args.target_tokenizer={"name": "word"}' in parts.options


def test_the_precision_is_probed(command):
    result = command(*FIT, "--float32_matmul_precision", "medium", "--dry_run")
    torch.set_float32_matmul_precision("highest")
    assert "float32 matmul precision 'medium': largest error" in result.out


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_labels_not_seen_in_training_are_counted(command, folder, classifier, caplog, end):
    (folder / "new.tsv").write_bytes(end.join(["text\tlabel", "good\tpos", "bad\tneg", "film\tmeh", ""]).encode())
    result = command("test", "--ckpt_path", classifier, "--data.test", "new.tsv")
    assert result.status == 0
    assert "meh (1x)" in caplog.text
    assert "test_accuracy" in result.out
