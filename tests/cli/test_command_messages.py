"""What a mistake in a config or on the command line gets: one readable message that names the nearest right word."""

from __future__ import annotations

import json
import re

import pytest
import yaml

FIT = ("fit", "--config", "classifier.yaml")


def one_message(result, *parts):
    """Checks that a command failed with one message that holds the parts, and without a traceback."""
    assert result.status in (1, 2)
    assert "Traceback" not in result.err + result.out
    message = result.err.strip()
    assert len(message) < 700
    assert "Union" not in message
    for part in parts:
        assert re.search(part, message), message


TYPED = {
    ("--modle.dropout", "0.1"): ("unknown key '--modle'", "did you mean 'model'"),
    ("--model.droput", "0.1"): ("command line: unknown key '--model.droput'", "did you mean 'dropout'"),
    ("--model", "SequenceClasifier"): ("unknown model class", "did you mean 'SequenceClassifier'"),
    ("--model", "nowhere.Classifier"): (
        "unknown model class 'nowhere.Classifier'",
        "SequenceClassifier, SequenceTagger",
    ),
    ("--model.encoder", "lstmm"): ("command line: --model.encoder: unknown encoder", "did you mean 'lstm'"),
    ("--model.encoder.hiden_size", "3"): ("--model.encoder: encoder 'lstm' has no argument", "'hidden_size'"),
    ("--model.encoder.hidden_size", "abc"): ("hidden_size must be a whole number, got 'abc'",),
    ("--model.embedder.embeding_dim", "3"): ("--model.embedder: embedder", "did you mean 'embedding_dim'"),
    ("--model.dropout", "abc"): ("command line: model.dropout: expected a number, got 'abc'",),
    ("--model.pooling", "maxx"): ("model.pooling: expected one of final, mean, max", "did you mean 'max'"),
    ("--model.monitor", "val_acuracy"): ("no score 'val_acuracy'", "did you mean 'val_accuracy'"),
    ("--model.optimizer", "Adamm"): ("model.optimizer: there is no class 'Adamm'", "did you mean 'Adam'"),
    ("--model.optimizer", "torch.optim.Adamm"): ("there is no class 'torch.optim.Adamm'", "did you mean 'Adam'"),
    ("--model.optimizer", "Adam", "--model.optimizer.lrr", "1"): ("Adam has no argument 'lrr'", "did you mean 'lr'"),
    ("--model.optimizer", "Adam", "--model.optimizer.lr", "abc"): ("model.optimizer.lr: expected a number",),
    ("--model.lr_scheduler", "WarmupCosin"): ("model.lr_scheduler: there is no class", "'WarmupCosine'"),
    ("--data.batchsize", "3"): ("unknown key '--data.batchsize'", "did you mean 'batch_size'"),
    ("--data.batch_size", "-3"): ("batch_size must be at least 1, got -3",),
    ("--data.batch_size", "abc"): ("data.batch_size: expected a whole number, got 'abc'",),
    ("--data.reader", "csvv"): ("--data.reader: unknown reader 'csvv'", "did you mean 'csv'"),
    ("--data.reader.txt", "x"): ("--data.reader: reader 'csv' has no argument 'txt'", "did you mean 'text'"),
    ("--data.tokenizer", "wrd"): ("--data.tokenizer: unknown tokenizer 'wrd'", "did you mean 'word'"),
    ("--data.train", "trian.tsv"): ("trian.tsv: no such file or folder", "did you mean 'train.tsv'"),
    ("--data.train", "$NOT_SET/a.tsv"): ("environment variable NOT_SET is not set",),
    ("--data.reader.text", "sentence"): (r"train.tsv:1: no column 'sentence'; the columns are: text, label",),
    ("--trainer.max_epoch", "3"): ("unknown key '--trainer.max_epoch'", "did you mean 'max_epochs'"),
    ("--trainer.max_epochs", "abc"): ("trainer.max_epochs: expected a whole number, got 'abc'",),
    ("--trainer.accumulate_grad_batches", "0"): ("trainer.accumulate_grad_batches must be at least 1, got 0",),
    ("--trainer.gradient_clip_val", "-1"): ("trainer.gradient_clip_val must be at least 0, got -1",),
    ("--trainer.accelerator", "gpuu"): ("accelerator='gpuu'",),
    ("--trainer.precision", "bf17"): ("trainer.precision: expected", "got 'bf17'"),
    ("--trainer.callbacks", "EarlyStoping"): ("trainer.callbacks: there is no class", "'EarlyStopping'"),
    ("--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitr", "x"): (
        "EarlyStopping has no argument 'monitr'",
        "did you mean 'monitor'",
    ),
    ("--trainer.logger", "CSVLoger"): ("trainer.logger: there is no class", "'CSVLogger'"),
    ("--seed_everything", "abc"): ("seed_everything: expected",),
    ("--float32_matmul_precision", "low"): ("float32_matmul_precision: expected one of highest, high, medium",),
    ("--plugins", "nowhere"): ("plugins: no module named 'nowhere'",),
    ("--dry_run=maybe",): ("--dry_run is true or false",),
    ("--ckpt_path", "nowhere.ckpt"): ("no such checkpoint",),
    ("--ckpt_path", "train.tsv"): ("train.tsv: not a checkpoint",),
    ("--ckpt_path", "."): ("no last.ckpt or interrupted.ckpt in this folder",),
    ("--config", "clasifier.yaml"): ("no such file", "did you mean 'classifier.yaml'"),
    ("--trainer.max_epochs",): ("expected one argument",),
    ("--config",): ("--config needs a value",),
    ("stray",): ("unrecognized arguments: stray",),
}


@pytest.mark.parametrize("options", TYPED, ids=" ".join)
def test_typed(command, options):
    one_message(command(*FIT, *options), *TYPED[options])


IN_YAML = {
    ("modle", ()): ("unknown key 'modle'", "did you mean 'model'"),
    ("class_pth", ("model",)): ("unknown key 'model.class_pth'", "did you mean 'class_path'"),
    ("poolin", ("model", "init_args")): ("unknown key 'model.init_args.poolin'", "did you mean 'pooling'"),
    ("bidirectionl", ("model", "init_args", "encoder")): ("model.init_args.encoder: encoder 'lstm'", "'bidirectional'"),
    ("dropuot", ("model", "init_args", "embedder")): ("model.init_args.embedder: ", "did you mean 'dropout'"),
    ("tokeniser", ("data", "init_args")): ("unknown key 'data.init_args.tokeniser'", "did you mean 'tokenizer'"),
    ("quotin", ("data", "init_args", "reader")): ("data.init_args.reader: reader 'csv'", "did you mean 'quoting'"),
    ("max_epoch", ("trainer",)): ("unknown key 'trainer.max_epoch'", "did you mean 'max_epochs'"),
}


@pytest.mark.parametrize("place", IN_YAML, ids=lambda place: ".".join([*place[1], place[0]]))
def test_wrong_key_in_yaml(command, folder, place):
    config = yaml.safe_load((folder / "classifier.yaml").read_text())
    key, path = place
    inner = config
    for name in path:
        inner = inner[name]
    inner[key] = 3
    (folder / "wrong.yaml").write_text(yaml.safe_dump(config))
    one_message(command("fit", "--config", "wrong.yaml"), "wrong.yaml: ", *IN_YAML[place])


def test_wrong_values_in_yaml_name_the_file(command, folder):
    callbacks = [{"class_path": "EarlyStopping", "init_args": {"monitor": "val_loss", "patienc": 3}}]
    for change, parts in (
        ({"trainer": {"callbacks": callbacks}}, ("trainer.callbacks: EarlyStopping has no argument", "'patience'")),
        ({"trainer": {"max_epochs": "many"}}, ("trainer.max_epochs: expected a whole number, got 'many'",)),
        ({"model": {"class_path": "SequenceTager"}}, ("unknown model class 'SequenceTager'", "'SequenceTagger'")),
    ):
        (folder / "wrong.yaml").write_text(yaml.safe_dump(change))
        one_message(command(*FIT, "--config", "wrong.yaml"), "wrong.yaml: ", *parts)


def test_nested_encoders_are_checked(command):
    layers = [{"name": "bidirectional", "layer": {"name": "gru", "hiden_size": 3}}]
    spec = json.dumps({"name": "stacked", "layers": layers})
    one_message(
        command(*FIT, "--model.encoder", spec), r"--model.encoder.layers\[0\].layer: encoder 'gru'", "hidden_size"
    )
    one_message(command(*FIT, "--model.encoder", '{"name": "bidirectional", "layer": "grru"}'), "did you mean 'gru'")


def test_a_config_that_is_no_mapping(command, folder):
    (folder / "list.yaml").write_text("- model\n")
    one_message(command("fit", "--config", "list.yaml"), "list.yaml: expected a mapping")
    (folder / "empty.yaml").write_text("# nothing\n")
    one_message(command("fit", "--config", "empty.yaml"), "empty.yaml: holds nothing; expected the keys model, data")
    (folder / "torn.yaml").write_text("model:\n  a: [1\n")
    one_message(command("fit", "--config", "torn.yaml"), r"torn.yaml:\d+: not YAML")


def test_missing_sections(command):
    one_message(command("fit"), "data and model not given; name a config file")
    one_message(command("fit", "--model", "SequenceClassifier"), "data not given")


@pytest.mark.parametrize("name", ["validate", "test", "predict"])
def test_a_model_is_needed(command, name):
    one_message(command(name, "--config", "classifier.yaml"), f"{name} needs a trained model: --ckpt_path")


BAD_DATA = {
    "empty file": (b"", "holds no examples"),
    "too few columns": (b"text\tlabel\ngood\tpos\nbad\n", r"bad.tsv:3: expected 2 tab-separated columns"),
    "not UTF-8": (b"text\tlabel\ngood\tpos\nb\xe4d\tneg\n", r"bad.tsv:3: byte 0xe4 at column 2 is not utf-8"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_data(command, folder, kind):
    content, message = BAD_DATA[kind]
    (folder / "bad.tsv").write_bytes(content)
    one_message(command(*FIT, "--data.train", "bad.tsv"), message)


def test_a_checkpoint_of_other_labels(command, folder, classifier):
    (folder / "other.tsv").write_text("text\tlabel\ngood\tpos\nbad\tneg\nfilm\tneutral\n")
    result = command(*FIT, "--ckpt_path", classifier, "--data.train", "other.tsv")
    one_message(result, "trained with 2 labels, the data has 3: neutral is new")


def test_a_model_that_does_not_fit_the_checkpoint(command, classifier):
    result = command(
        "test", "--ckpt_path", classifier, "--config", "classifier.yaml", "--model.encoder.hidden_size", 11
    )
    one_message(result, "best.ckpt: its weights do not fit this model", "size mismatch")


def test_an_unknown_checkpoint_in_a_run(command, classifier):
    one_message(command("test", "--ckpt_path", classifier.with_name("bst.ckpt")), "did you mean 'best.ckpt'")


@pytest.mark.parametrize("typed", [("--data.tokenizer", "character"), ("--data.tokenizer.min_count=3",)])
def test_another_tokenizer_than_the_checkpoints(command, classifier, typed):
    result = command("test", "--ckpt_path", classifier, *typed)
    one_message(
        result, r"command line: data.tokenizer is .* but the model of .*best.ckpt reads .*; leave data.tokenizer"
    )


def test_the_checkpoints_own_tokenizer_may_be_named(command, classifier):
    assert command("test", "--ckpt_path", classifier, "--data.tokenizer", '{"name": "word"}').status == 0
