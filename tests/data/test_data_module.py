from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from seqmodels.data.labelled_sequences import LabelledSequences
from seqmodels.data.schema import Schema
from seqmodels.errors import CheckpointError, ConfigurationError, DataError

TRAIN = ["pos\tgood film", "neg\tbad film", "pos\tso good", "neg\tso so bad", "neg\t"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQMODELS_CACHE", str(tmp_path / "cache"))


def write(path: Path, lines: list[str], end: str = "\n") -> str:
    path.write_bytes("".join(line + end for line in lines).encode())
    return str(path)


def csv(tmp_path: Path, name: str, lines: list[str] | None = None, end: str = "\n") -> str:
    return write(tmp_path / f"{name}.tsv", ["label\ttext", *(TRAIN if lines is None else lines)], end)


READER: dict[str, Any] = {"name": "csv", "text": "text", "label": "label", "delimiter": "\t"}


def labelled(tmp_path: Path, **arguments: Any) -> LabelledSequences:
    if "train" not in arguments:
        arguments["train"] = csv(tmp_path, "train")
    return LabelledSequences(**{"reader": READER, "batch_size": 2} | arguments)


def tagged(tmp_path: Path, name: str, rows: list[str]) -> str:
    lines = [line for row in rows for line in [*(pair.replace("/", "\t") for pair in row.split()), ""]]
    return write(tmp_path / name, lines)


def rows_of(loader: Any) -> list[int]:
    return [row for batch in loader for row in batch.rows.tolist()]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_gives_batches_of_all_splits(tmp_path: Path, end: str):
    data = labelled(
        tmp_path,
        train=csv(tmp_path, "train", end=end),
        validation=csv(tmp_path, "dev", ["pos\tgood"], end),
        test=csv(tmp_path, "test", ["neg\tbad", "pos\tfine"], end),
        predict=csv(tmp_path, "predict", ["?\tso fine"], end),
        characters=True,
    )
    data.prepare_data()
    data.setup()
    assert data.schema.target.names == ("neg", "pos")
    assert sorted(rows_of(data.train_dataloader())) == [0, 1, 2, 3, 4]
    assert rows_of(data.val_dataloader()) == [0]
    assert sorted(rows_of(data.test_dataloader())) == [0, 1]
    (batch,) = data.predict_dataloader()
    assert batch.targets is None
    assert data.schema.tokens.tokenizer.tokens(batch.inputs["ids"][0].tolist()) == ["so", "<unk>"]
    assert list(data.predict_examples) == [{"text": "so fine"}]
    assert [entry.split for entry in data.statistics()] == ["train", "validation", "test", "predict"]
    assert data.describe().splitlines()[1].startswith("train")


def test_an_empty_text_is_a_row_of_length_zero(tmp_path: Path):
    data = labelled(tmp_path)
    data.setup("fit")
    (length,) = (batch.lengths[batch.rows == 4].item() for batch in data.train_dataloader() if 4 in batch.rows)
    assert length == 0


def test_no_validation_data_is_no_loader(tmp_path: Path):
    data = labelled(tmp_path)
    data.setup("fit")
    assert data.val_dataloader() == []


def test_same_seed_gives_the_same_batches(tmp_path: Path):
    orders = []
    for seed in (0, 0, 1):
        data = labelled(tmp_path, seed=seed)
        data.setup("fit")
        orders.append(rows_of(data.train_dataloader()))
    assert orders[0] == orders[1] != orders[2]


def test_keeps_its_arguments_in_plain_types(tmp_path: Path):
    data = labelled(tmp_path, max_tokens=64)
    assert data.arguments["max_tokens"] == 64
    assert data.arguments["reader"] == READER
    again = LabelledSequences(**data.arguments)
    assert again.arguments == data.arguments


def test_constructor_opens_no_file(tmp_path: Path):
    labelled(tmp_path, train="no/such/file", validation=["$NO_SUCH/file"])


@pytest.mark.parametrize("given", ["list", "mapping"])
def test_paths_may_be_lists_and_mappings(tmp_path: Path, given: str):
    first, second = csv(tmp_path, "one"), csv(tmp_path, "two", ["pos\tlast"])
    paths: Any = [first, second] if given == "list" else {"path": [first, second], "text": "text"}
    data = labelled(tmp_path, train=paths)
    data.setup("fit")
    assert data.examples("train")[5] == {"text": "last", "label": "pos"}


def test_reader_arguments_may_differ_by_split(tmp_path: Path):
    other = write(tmp_path / "other.tsv", ["label\tsentence", "pos\tgood"])
    data = labelled(tmp_path, validation={"path": other, "text": "sentence"})
    data.setup("fit")
    assert list(data.examples("validation")) == [{"text": "good", "label": "pos"}]


# Fractions and folds


def test_fractions_part_the_training_rows(tmp_path: Path):
    lines = [f"{'pos' if row % 3 else 'neg'}\tword{row}" for row in range(40)]
    arguments: dict[str, Any] = {"train": csv(tmp_path, "train", lines), "validation_fraction": 0.2}
    data = labelled(tmp_path, test_fraction=0.1, **arguments)
    data.setup("fit")
    data.setup("test")
    parts = {split: {e["text"] for e in data.examples(split)} for split in ("train", "validation", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 28, "validation": 8, "test": 4}
    assert len(set.union(*parts.values())) == 40
    known = data.schema.tokens.tokenizer.vocabulary
    assert not any(text in known for text in parts["test"] | parts["validation"]), "vocabulary is of training rows"
    again = labelled(tmp_path, test_fraction=0.1, **arguments)
    assert list(again.examples("test")) == list(data.examples("test"))
    other = labelled(tmp_path, test_fraction=0.1, seed=1, **arguments)
    assert list(other.examples("test")) != list(data.examples("test"))


def test_folds_are_disjoint_and_even_by_label(tmp_path: Path):
    lines = [f"{'pos' if row % 4 else 'neg'}\tword{row}" for row in range(40)]
    path = csv(tmp_path, "train", lines)
    seen = []
    for fold in range(5):
        data = labelled(tmp_path, train=path, folds=5, fold=fold, validation_fraction=0.25)
        test = list(data.examples("test"))
        assert [example["label"] for example in test].count("neg") == 2
        assert len(data.examples("train")) == 24
        assert len(data.examples("validation")) == 8
        seen += [example["text"] for example in test]
    assert sorted(seen) == sorted(f"word{row}" for row in range(40))


def test_too_few_rows_to_part(tmp_path: Path):
    data = labelled(tmp_path, train=csv(tmp_path, "train", ["pos\tx"]), validation_fraction=0.5)
    with pytest.raises(DataError, match=r"train\.tsv: 1 row is too few to part: none is left for train"):
        data.setup("fit")


def test_more_folds_than_rows(tmp_path: Path):
    for fold in range(7):
        data = labelled(tmp_path, folds=7, fold=fold)
        with pytest.raises(DataError, match=r"train\.tsv: folds: 7 needs as many rows, found 5; give fewer folds"):
            data.setup("fit")


def test_warns_of_a_fraction_of_one_row(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    labelled(tmp_path, validation_fraction=0.1).setup("fit")
    assert "validation: validation_fraction: 0.1 of 5 rows is 1 row only" in caplog.text
    caplog.clear()
    labelled(tmp_path, validation_fraction=0.4).setup("fit")
    assert not caplog.text


def test_an_example_is_named_by_its_row_in_the_file_after_a_split(tmp_path: Path):
    lines = ['{"x": [[1, 2]], "y": "a"}', '{"x": [[1, 2]], "y": "b"}'] * 40
    lines[66] = '{"x": [[1, 2, 3]], "y": "a"}'
    reader = {"name": "jsonl", "features": "x", "label": "y"}
    for arguments in ({"validation_fraction": 0.3}, {"folds": 3}):
        data = LabelledSequences(reader, train=write(tmp_path / "width.jsonl", lines), **arguments)
        with pytest.raises(DataError, match=r"width\.jsonl: example 67: expected 2 features a step"):
            data.setup()


@pytest.mark.parametrize("kind", ["label", "tag"])
def test_warns_of_training_data_with_one_label(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str):
    if kind == "label":
        data = labelled(tmp_path, train=csv(tmp_path, "train", ["pos\tgood", "pos\tbad"]))
    else:
        data = LabelledSequences("conll", train=tagged(tmp_path, "train", ["a/pos b/pos"]))
    data.setup("fit")
    assert f"the training data has one {kind} only: pos; there is nothing to learn" in caplog.text


def test_warns_of_a_batch_size_that_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    labelled(tmp_path, batch_size=32, max_tokens=64).setup("fit")
    assert not caplog.text
    labelled(tmp_path, batch_size=2, max_tokens=64).setup("fit")
    assert "batch_size: 2 is not used with max_tokens: 64" in caplog.text


# Tags


def test_warns_of_tags_that_are_nearly_bio(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rows = ["New/B-LOC York/I-LOC is/O"] * 19
    LabelledSequences("conll", train=tagged(tmp_path, "clean", rows)).setup("fit")
    assert not caplog.text
    LabelledSequences("conll", train=tagged(tmp_path, "train", [*rows, "Rome/X-LOC Oslo/b-LOC Rome/X-LOC"])).setup(
        "fit"
    )
    assert "tags look like BIO except X-LOC (2x), b-LOC (1x): entity F1 and constraints need all of" in caplog.text
    assert len(caplog.records) == 1


def test_tag_scheme_rewrites_tags(tmp_path: Path):
    path = tagged(tmp_path, "train", ["New/B-LOC York/I-LOC is/O", "Rome/B-LOC"])
    data = LabelledSequences("conll", train=path, tag_scheme="iobes")
    data.setup("fit")
    assert data.schema.target.names == ("B-LOC", "E-LOC", "O", "S-LOC")
    plain = LabelledSequences("conll", train=path)
    plain.setup("fit")
    assert plain.schema.target.names == ("B-LOC", "I-LOC", "O")


def test_only_training_rows_are_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tagged(tmp_path, "train", ["a/X b/Y c/X", "a/X"])
    data = LabelledSequences("conll", train=path, validation=path, max_length=2)
    data.setup("fit")
    assert "train: 1 of 2 rows were cut to max_length: 2 steps" in caplog.text
    assert max(batch.lengths.max() for batch in data.train_dataloader()) == 2
    assert max(batch.lengths.max() for batch in data.val_dataloader()) == 3
    assert data.statistics()[0].truncated == 1


def test_a_row_longer_than_any_in_training_is_read_in_full(tmp_path: Path):
    test = csv(tmp_path, "test", ["pos\t" + "good " * 997])
    data = labelled(tmp_path, test=test)
    data.setup("test")
    (batch,) = data.test_dataloader()
    assert batch.lengths.tolist() == [997]


# Schemas of checkpoints


def checkpoint(path: Path, schema: Schema) -> str:
    record = {"format": 1, "network": {}, "model": {}, "schema": schema.to_record()}
    torch.save({"seqmodels": record, "state_dict": {"weight": torch.zeros(3)}}, path)
    return str(path)


def trained_schema(tmp_path: Path) -> Schema:
    data = labelled(tmp_path)
    data.setup("fit")
    return data.schema


def test_a_test_needs_no_training_data_with_a_checkpoint(tmp_path: Path):
    path = checkpoint(tmp_path / "last.ckpt", trained_schema(tmp_path))
    data = labelled(tmp_path, train="no/such/file", test=csv(tmp_path, "test", ["neg\tbad"]))
    data.use_checkpoint(path)
    data.setup("test")
    (batch,) = data.test_dataloader()
    assert batch.targets.tolist() == [0]
    assert data.schema == trained_schema(tmp_path)


def test_takes_the_checkpoint_that_the_trainer_was_told_of(tmp_path: Path):
    data = labelled(tmp_path, train=None, test=csv(tmp_path, "test", ["neg\tbad"]))
    data.trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    data.trainer.ckpt_path = checkpoint(tmp_path / "last.ckpt", trained_schema(tmp_path))
    data.setup("test")
    assert data.schema == trained_schema(tmp_path)


def test_another_schema_encodes_anew(tmp_path: Path):
    data = labelled(tmp_path)
    data.setup("fit")
    other = labelled(tmp_path, train=csv(tmp_path, "other", ["pos\tother words", "neg\tx"]))
    other.setup("fit")
    data.schema = other.schema
    data.setup("fit")
    assert data.statistics()[0].unknown_tokens == 100


def test_refuses_to_train_on_with_new_labels(tmp_path: Path):
    old = LabelledSequences("conll", train=tagged(tmp_path, "old", ["a/O b/B-PER"]))
    old.setup("fit")
    data = LabelledSequences("conll", train=tagged(tmp_path, "new", ["a/O b/B-LOC c/I-LOC"]))
    data.schema = old.schema
    with pytest.raises(
        CheckpointError, match="checkpoint was trained with 2 tags, the data has 4: B-LOC and I-LOC are new"
    ):
        data.setup("fit")


def test_warns_of_unseen_labels_in_evaluation(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    data = labelled(tmp_path, test=csv(tmp_path, "test", ["pos\tgood", "mixed\tfine", "mixed\tfine"]))
    data.setup("test")
    assert "test: 2 labels are not in training and always counted wrong: mixed (2x)" in caplog.text
    targets = sorted(target for batch in data.test_dataloader() for target in batch.targets.tolist())
    assert targets == [-1, -1, 1]


def test_one_label_that_is_not_in_training_is_spoken_of_as_one(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    labelled(tmp_path, test=csv(tmp_path, "test", ["pos\tgood", "mixed\tfine"])).setup("test")
    assert "test: 1 label is not in training and always counted wrong: mixed (1x)" in caplog.text


def test_refuses_evaluation_data_of_which_no_label_is_known(tmp_path: Path):
    data = labelled(tmp_path, test=csv(tmp_path, "test", ["1\tgood", "0\tbad"]))
    with pytest.raises(
        DataError,
        match=r"test\.tsv: none of its labels is among the 2 of training: found 0 and 1, expected neg and pos",
    ):
        data.setup("test")


def test_refuses_foreign_and_damaged_checkpoints(tmp_path: Path):
    data = labelled(tmp_path)
    with pytest.raises(CheckpointError, match="none: no such checkpoint"):
        data.use_checkpoint("none")
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}}, foreign)
    with pytest.raises(CheckpointError, match=r"foreign\.ckpt: a checkpoint, but not one of seqmodels"):
        data.use_checkpoint(foreign)
    whole = checkpoint(tmp_path / "whole.ckpt", trained_schema(tmp_path))
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(Path(whole).read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"cut\.ckpt: not a checkpoint, or one cut short \(100 bytes\)"):
        data.use_checkpoint(cut)


def test_needs_training_data_or_a_checkpoint(tmp_path: Path):
    data = labelled(tmp_path, train=None, test=csv(tmp_path, "test"))
    with pytest.raises(ConfigurationError, match="built from training data or comes with a checkpoint"):
        data.setup("test")


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("validate", "validate needs validation data; set data.validation to a path, or data.validation_fraction"),
        ("test", "test needs test data; set data.test to a path, or data.test_fraction"),
    ],
)
def test_names_the_data_that_a_stage_lacks(tmp_path: Path, stage: str, message: str):
    with pytest.raises(ConfigurationError, match=message):
        labelled(tmp_path).setup(stage)


# Prediction


def test_predicts_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"label\ttext\r\n?\tso good\r\n?\tbad\r\n")))
    data = labelled(tmp_path)
    data.setup("predict")
    assert [example["text"] for example in data.predict_examples] == ["so good", "bad"]
    assert sorted(rows_of(data.predict_dataloader())) == [0, 1]


def test_empty_standard_input_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    data = labelled(tmp_path)
    with pytest.raises(DataError, match=r"^standard input: holds no examples"):
        data.setup("predict")


def test_an_error_in_standard_input_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for content, message in (
        (b"label\ttext\n?\n", "^standard input:2: expected 2 tab-separated columns"),
        (b"", "^standard input: holds no examples"),
    ):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        with pytest.raises(DataError, match=message):
            labelled(tmp_path).setup("predict")
    features = write(tmp_path / "x.jsonl", ['{"x": [[1, 2]], "y": "a"}'])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"x": [[1, 2, 3]]}\n')))
    data = LabelledSequences({"name": "jsonl", "features": "x", "label": "y"}, train=features)
    with pytest.raises(
        DataError, match=r"^standard input: example 1: expected 2 features a step, as in training, got 3"
    ):
        data.setup("predict")


def test_a_piped_table_needs_no_delimiter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"text\tlabel\ngood, bad\t?\n")))
    data = labelled(tmp_path, reader={"name": "csv", "text": "text", "label": "label"})
    data.setup("predict")
    assert [example["text"] for example in data.predict_examples] == ["good, bad"]


def test_warns_of_data_to_predict_whose_tokens_are_unknown(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for unknown, warned in ((9, False), (10, False), (11, True)):
        path = csv(tmp_path, f"predict{unknown}", ["?\t" + "neu " * unknown + "good " * (20 - unknown)])
        labelled(tmp_path, predict=path).setup("predict")
        assert ("predict: 55% of the 20 tokens are unknown to the model" in caplog.text) is warned
    caplog.clear()
    labelled(tmp_path, predict=csv(tmp_path, "short", ["?\t" + "neu " * 19])).setup("predict")
    assert not caplog.text


class RowsOnly(LightningModule):
    """Predicts the rows of each batch."""

    def predict_step(self, batch: Any, batch_idx: int) -> list[int]:
        return batch.rows.tolist()

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.seen = [*getattr(self, "seen", []), *batch.rows.tolist()]


def test_lightning_leaves_evaluation_batches_alone(tmp_path: Path):
    lines = [f"pos\t{'good ' * (row % 7)}" for row in range(23)]
    path = csv(tmp_path, "many", lines)
    trainer = Trainer(
        logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False, barebones=False
    )
    model = RowsOnly()
    data = labelled(tmp_path, test=path, predict=path, batch_size=5)
    predicted = trainer.predict(model, data)
    assert sorted(row for rows in predicted for row in rows) == list(range(23))
    trainer.test(model, data)
    assert sorted(model.seen) == list(range(23))


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"num_workers": -1}, "num_workers must be at least 0, got -1"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1, got 1.0"),
        ({"validation": "x", "validation_fraction": 0.1}, "give validation or validation_fraction, not both"),
        ({"test": "x", "test_fraction": 0.1}, "give test or test_fraction, not both"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "together must leave rows to train on"),
        ({"folds": 1}, "folds must be at least 2, got 1"),
        ({"folds": 3, "fold": 3}, "fold must be from 0 to 2 with folds: 3, got 3"),
        ({"fold": 1}, "fold: 1 needs folds, the number of parts"),
        ({"folds": 3, "test_fraction": 0.1}, "one fold is the test data; give neither test nor test_fraction"),
        ({"folds": 3, "test": "x"}, "one fold is the test data; give neither test nor test_fraction"),
        ({"tag_scheme": "bio"}, "tag_scheme: bio rewrites tags, but the reader gives label"),
        ({"reader": "cvs"}, r"unknown reader 'cvs'.*did you mean 'csv'\?"),
        ({"reader": READER | {"txet": 1}}, r"has no argument 'txet' \(did you mean 'text'\?\)"),
        ({"train": {"path": "x", "txet": "y"}}, r"^train: reader .* has no argument 'txet' \(did you mean 'text'\?\)"),
        ({"test": "-"}, "test: - is standard input, which serves for predict alone; name a file"),
        ({"train": ["-", "x"]}, "train: - is standard input, which serves for predict alone"),
        ({"train": {"text": "y"}}, "train: expected `path` among its keys, got: text"),
        ({"tokenizer": "wrod"}, r"unknown tokenizer 'wrod'.*did you mean 'word'\?"),
        ({"tokenizer": {"name": "word", "min_conut": 1}}, "has no argument 'min_conut'"),
    ],
)
def test_refuses_arguments_at_once(tmp_path: Path, arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError, match=message):
        labelled(tmp_path, **arguments)


def test_a_missing_file_is_named_with_the_nearest(tmp_path: Path):
    csv(tmp_path, "train")
    with pytest.raises(DataError, match=r"did you mean 'train\.tsv'\?"):
        labelled(tmp_path, train=str(tmp_path / "trian.tsv")).setup("fit")


def test_command_line_overrides_reach_the_reader(tmp_path: Path):
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_subclass_arguments(LabelledSequences, "data")
    config = tmp_path / "config.yaml"
    config.write_text(
        "class_path: seqmodels.data.labelled_sequences.LabelledSequences\n"
        "init_args: {reader: {name: conllu, label: upos}, train: {path: a.conllu}}\n"
    )
    arguments = [f"--data={config}", "--data.reader.label=xpos", "--data.batch_size=8", "--data.train=b.conllu"]
    data = parser.instantiate_classes(parser.parse_args(arguments)).data
    assert data.arguments["reader"] == {"name": "conllu", "label": "xpos"}
    assert data.batch_size == 8
    assert data.given["train"] == "b.conllu"


@pytest.mark.skipif("SEQMODELS_DATA" not in os.environ, reason="needs the data sets")
def test_padding_of_sentences_is_below_five_percent():
    folder = "$SEQMODELS_DATA/ud-english-ewt/en_ewt-ud-"
    data = LabelledSequences("conllu", train=f"{folder}train.conllu.gz", batch_size=32)
    data.setup("fit")
    assert data.statistics()[0].padding < 5
