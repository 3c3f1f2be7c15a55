"""Every kind of data and every head learns a few rows by heart, and what a loss may not see changes nothing."""

from __future__ import annotations

import math

import pytest
import torch

from seqmodels import SequenceClassifier, SequenceTagger
from seqmodels.errors import ConfigurationError

QUICK = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.05, "fused": True}}


def learn(toy, kind, steps=50, data=None, **arguments):
    task = toy.task(kind, optimizer=QUICK, **arguments)
    data = toy.data(kind) if data is None else data
    data.given["validation"] = data.given["train"]
    trainer, task, _ = toy.fit(kind, task=task, data=data, max_steps=steps, check_val_every_n_epoch=1000)
    loss = trainer.callback_metrics["train_loss"].item()
    return {"train_loss": loss, **trainer.validate(task, datamodule=data, verbose=False)[0]}


@pytest.mark.parametrize("pooling", ["final", "mean", "max", "attention"])
def test_a_classifier_learns_with_every_pooling(toy, pooling):
    scores = learn(toy, "label", steps=80, pooling=pooling)
    assert scores["val_accuracy"] == scores["val_macro_f1"] == 1
    assert scores["val_loss"] < 0.3
    assert math.isfinite(scores["train_loss"])


@pytest.mark.parametrize("weights", ["balanced", [2.0, 1.0, 0.5]])
def test_a_classifier_learns_with_class_weights(toy, weights):
    assert learn(toy, "label", class_weights=weights)["val_accuracy"] == 1


def test_class_weights_are_those_of_the_counts(toy):
    _, task, data = toy.fit("label", task=toy.task("label", class_weights="balanced"), max_steps=1)
    counts = torch.tensor(data.schema.target.counts, dtype=torch.float32)
    torch.testing.assert_close(task.class_weight_values * counts, (counts.sum() / 3).expand(3))


def test_label_smoothing_keeps_the_loss_up(toy):
    scores = learn(toy, "label", label_smoothing=0.3)
    assert scores["val_accuracy"] == 1
    assert scores["val_loss"] > 0.4


def test_several_labels_are_learnt(toy):
    scores = learn(toy, "labels", steps=60)
    assert scores["val_micro_f1"] == scores["val_subset_accuracy"] == 1


def test_several_labels_with_weights(toy):
    assert math.isfinite(learn(toy, "labels", steps=3, class_weights="balanced")["val_loss"])


@pytest.mark.parametrize("feature_dim", [None, 3])
def test_feature_sequences_are_learnt(toy, feature_dim):
    embedder = {"feature_dim": feature_dim}
    assert learn(toy, "features", embedder=embedder)["val_accuracy"] == 1


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("constrained", [False, True])
def test_entities_are_learnt(toy, crf, constrained):
    scores = learn(toy, "entities", crf=crf, constrained=constrained)
    assert scores["val_f1"] == scores["val_accuracy"] == 1


def test_tags_are_learnt_with_a_crf(toy):
    assert learn(toy, "tags", crf=True)["val_accuracy"] == 1


@pytest.mark.parametrize("characters", ["cnn", "recurrent"])
def test_tags_are_learnt_from_characters(toy, characters):
    embedder = {"embedding_dim": 2, "word_dropout": 0.9, "characters": {"name": characters, "embedding_dim": 7}}
    data = toy.data("tags", characters=True)
    assert learn(toy, "tags", data=data, embedder=embedder)["val_accuracy"] > 0.95


@pytest.mark.parametrize(
    "tokenizer", [{"name": "bpe", "vocab_size": 270}, {"name": "unigram", "vocab_size": 270}, "character"]
)
@pytest.mark.parametrize("kind", ["tags", "label"])
def test_pieces_of_words_are_learnt(toy, tokenizer, kind):
    scores = learn(toy, kind, steps=80, data=toy.data(kind, tokenizer=tokenizer), embedder={"embedding_dim": 17})
    assert scores["val_accuracy"] > 0.85


def test_both_directions_characters_and_dropout_everywhere(toy):
    scores = learn(
        toy,
        "tags",
        data=toy.data("tags", characters=True),
        encoder={"name": "lstm", "hidden_size": 11, "bidirectional": True, "num_layers": 2, "dropout": 0.1},
        embedder={"embedding_dim": 7, "dropout": 0.1, "locked_dropout": True, "word_dropout": 0.1},
        dropout=0.1,
    )
    assert scores["val_accuracy"] > 0.9


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("split", ["val", "test"])
def test_a_masked_tag_changes_neither_loss_nor_scores(toy, crf, split):
    trainer, task, data = toy.fit("masked", task=toy.task("masked", crf=crf))
    encoded = data._encoded["train"].encoded
    masked = encoded.targets.values == -100
    assert 0 < masked.sum() < len(masked)
    found = []
    for replacement in ("NOUN", "VERB"):
        other = toy.data("masked", splits=("train",))
        path = toy.folder / f"masked.{crf}.{split}.{replacement}.jsonl"
        lines = (toy.folder / "test.masked.jsonl").read_text().splitlines()
        path.write_text("".join(change_masked(line, replacement) for line in lines))
        other.given["validation" if split == "val" else "test"] = str(path)
        other.schema = data.schema
        run = trainer.validate if split == "val" else trainer.test
        found.append(run(task, datamodule=other, verbose=False)[0])
    assert found[0] == found[1]
    assert math.isfinite(found[0][f"{split}_loss"])


def change_masked(line, replacement):
    import json

    row = json.loads(line)
    row["tags"] = [tag if kept else replacement for tag, kept in zip(row["tags"], row["mask"], strict=True)]
    return json.dumps(row) + "\n"


@pytest.mark.parametrize("kind", ["label", "labels", "tags", "entities"])
@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_rows_that_do_not_count_are_not_scored(toy, kind, kept):
    """Under several processes a batch may hold rows that another process has counted, and nothing else."""
    _, task, data = toy.fit(kind, max_steps=1)
    batch = next(iter(data.val_dataloader()))
    batch.counted[kept:] = False
    task.eval()
    for scores in (task.scores["val"], task.losses["val"]):
        scores.reset()
    task._score("val", batch)
    loss = task.losses["val"].compute()
    assert torch.isfinite(loss)
    scores = task.scores["val"].compute()
    assert all(torch.isfinite(value) for value in scores.values())
    if kept:
        alone = batch.select(torch.arange(kept))
        torch.testing.assert_close(loss, task.loss(task(alone), alone)[0])
    else:
        assert loss == 0
        assert all(value == 0 for value in scores.values())


def test_wrong_options_are_refused(toy):
    with pytest.raises(ConfigurationError, match=r"needs 3 numbers, one for each of bad, good, mixed, got 2"):
        toy.fit("label", task=toy.task("label", class_weights=[1.0, 2.0]))
    for task_class in (SequenceClassifier, SequenceTagger):
        with pytest.raises(ConfigurationError, match=r"label_smoothing must be in \[0, 1\), got 1"):
            task_class(label_smoothing=1)
        with pytest.raises(ConfigurationError, match=r"unknown encoder 'ltsm'.*did you mean 'lstm'"):
            task_class(encoder="ltsm")
        with pytest.raises(
            ConfigurationError, match=r"'lstm' has no argument 'hiden_size'.*did you mean 'hidden_size'"
        ):
            task_class(encoder={"name": "lstm", "hiden_size": 3})
        with pytest.raises(ConfigurationError, match=r"has no argument 'embeding_dim'.*did you mean 'embedding_dim'"):
            task_class(embedder={"embeding_dim": 3})
        with pytest.raises(ConfigurationError, match=r"which a checkpoint can keep, got object"):
            task_class(encoder={"name": "lstm", "hidden_size": object()})
    with pytest.raises(ConfigurationError, match=r"label_smoothing has no meaning with crf: true; set it to 0"):
        SequenceTagger(crf=True, label_smoothing=0.1)


def test_a_task_needs_data_of_its_kind(toy):
    with pytest.raises(ConfigurationError, match=r"classification needs one label a sequence.*use SequenceTagger"):
        toy.fit("tags", task=SequenceClassifier())
    with pytest.raises(ConfigurationError, match=r"tagging needs one tag a token.*use SequenceClassifier"):
        toy.fit("label", task=SequenceTagger())


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_a_task_needs_a_data_module_of_ours(toy):
    loader = torch.utils.data.DataLoader([1, 2])
    with pytest.raises(ConfigurationError, match=r"needs the schema of a seqmodels data module.*got NoneType"):
        toy.trainer(max_steps=1).fit(toy.task("label"), loader)


@pytest.mark.parametrize(
    ("kind", "monitor"),
    [("label", "val_accuracy"), ("labels", "val_micro_f1"), ("tags", "val_accuracy"), ("entities", "val_f1")],
)
def test_the_data_decides_what_is_monitored_where_nothing_is_said(toy, kind, monitor):
    _, task, _ = toy.fit(kind)
    assert task.monitor == monitor
    assert task.arguments["monitor"] is None
