"""Prediction from a file alone: what testing computed, in whatever order and batches, of whatever is given."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

import seqmodels
from seqmodels.errors import ConfigurationError, DataError

TEXTS = ["the film was great", "", "awful", "xyzzy ünïcödé 漢字 🙂", "so " * 200, " \t\n", "Ada Lovelace was so fine"]
KINDS = ("label", "labels", "tags", "entities")


@pytest.fixture(scope="module")
def models(checkpoints):
    return {kind: seqmodels.load(path) for kind, path in checkpoints.items()}


@pytest.mark.parametrize("kind", [*KINDS, "features"])
def test_equals_what_the_trainer_computed(toy, checkpoints, models, kind):
    data = toy.data(kind, predict=str(toy.data(kind).given["test"]))
    data.use_checkpoint(checkpoints[kind])
    task = seqmodels.Task.load_from_checkpoint(checkpoints[kind])
    batches = toy.trainer().predict(task, datamodule=data)
    computed = {result.pop("row"): result for batch in batches for result in batch}
    examples = list(data.predict_examples)
    key = {"label": "label", "labels": "labels", "tags": "tags", "entities": "tags", "features": "label"}[kind]
    field = {"features": "features", "tags": "tokens", "entities": "tokens"}.get(kind, "text")
    for batch_size in (1, 4, 64):
        loaded = seqmodels.load(checkpoints[kind], batch_size=batch_size)
        assert loaded.predict(examples) == [computed[row][key] for row in range(11)]
        assert loaded.predict([example[field] for example in examples]) == loaded.predict(examples)

    gold = [example[key] for example in data.examples("test")]
    scores = toy.trainer().test(task, datamodule=data, verbose=False)[0]
    if kind in ("label", "features"):
        right = [found == wanted for found, wanted in zip(models[kind].predict(examples), gold, strict=True)]
        assert np.mean(right) == pytest.approx(scores["test_accuracy"])
    elif kind != "labels":
        pairs = [
            pair for row in zip(models[kind].predict(examples), gold, strict=True) for pair in zip(*row, strict=True)
        ]
        assert np.mean([found == wanted for found, wanted in pairs]) == pytest.approx(scores["test_accuracy"])


@pytest.mark.parametrize("kind", KINDS)
def test_odd_texts_are_predicted_and_the_order_is_kept(models, kind):
    model = models[kind]
    alone = [model.predict([text])[0] for text in TEXTS]
    assert model.predict(TEXTS) == alone
    assert model.predict(TEXTS[::-1]) == alone[::-1]
    assert model.predict([]) == model.predict_proba([]) == []
    for text, row, result in zip(TEXTS, model.predict_proba(TEXTS), model.results(TEXTS), strict=True):
        assert row.shape[-1] == len(model.names)
        assert np.isfinite(row).all()
        if kind != "labels":
            np.testing.assert_allclose(row.sum(-1), np.ones(row.shape[:-1]), atol=1e-5)
        if kind in ("tags", "entities"):
            assert len(row) == len(result["tags"]) == len(text.split())
        else:
            assert set(result["probabilities"]) == set(model.names)


def test_probabilities_belong_to_the_names(models):
    model = models["label"]
    for label, row in zip(model.predict(TEXTS), model.predict_proba(TEXTS), strict=True):
        assert model.names[int(row.argmax())] == label
    model = models["labels"]
    for labels, row in zip(model.predict(TEXTS), model.predict_proba(TEXTS), strict=True):
        assert labels == [name for name, value in zip(model.names, row, strict=True) if value > 0.5]


def test_tag_pairs_words_with_tags(models):
    model = models["tags"]
    (pairs,) = model.tag(["the film was"])
    assert [word for word, _ in pairs] == ["the", "film", "was"]
    assert [tag for _, tag in pairs] == model.predict([["the", "film", "was"]])[0]
    assert model.tag([["the", "film"], [], {"tokens": ["was"]}])[1] == []
    assert model.tag([]) == []


def test_constrained_tags_follow_their_scheme(models):
    for tags in models["entities"].predict(["Lovelace Ada " * 5, "Paris was Rome so Ada Ada"]):
        for before, tag in zip(["O", *tags], tags, strict=False):
            assert not tag.startswith("I-") or before in (f"B-{tag[2:]}", tag)


def test_words_and_texts_of_a_tagger_are_the_same(models):
    assert models["tags"].predict(["the film"]) == models["tags"].predict([("the", "film")])


def test_features_are_lists_or_arrays(models):
    rows = [[[0.3, 1.0], [0.6, 1.0]], [[-0.3, 1.0]]]
    assert models["features"].predict(rows) == models["features"].predict([np.array(row) for row in rows])
    assert models["features"].predict([torch.tensor(row) for row in rows]) == models["features"].predict(rows)


@pytest.mark.parametrize(
    ("kind", "inputs", "message"),
    [
        ("label", [["a", "list"]], r"input 1: expected a text, as in training, got list ['a', 'list']"),
        ("label", ["fine", None], r"input 2: expected a text, as in training, got NoneType None"),
        ("label", [7], r"input 1: expected a text, as in training, got int 7"),
        ("label", [{"tokens": ["a"]}], r"example 1: expected the key 'text', found: tokens"),
        ("tags", [7], r"input 1: expected a list of words, or a text to split, got int 7"),
        ("tags", [["a", 7]], r"input 1: expected a list of words, or a text to split, got list ['a', 7]"),
        ("tags", [{"words": ["a"]}], r"example 1: expected the key 'tokens', found: words"),
        (
            "features",
            ["text"],
            r"input 1: expected a sequence of steps of 2 numbers each, as in training, got str 'text'",
        ),
        (
            "features",
            [[1.0, 2.0]],
            r"input 1: expected a sequence of steps of 2 numbers each, as in training, got list",
        ),
        ("features", [[[1.0, 2.0, 3.0]]], r"example 1: expected 2 features a step, as in training, got 3"),
    ],
)
def test_inputs_of_another_kind_are_refused(models, kind, inputs, message):
    for call in (models[kind].predict, models[kind].predict_proba):
        with pytest.raises(DataError, match=re.escape(message)):
            call(inputs)


def test_wrong_calls_are_refused(models):
    for inputs in ("a text", {"text": "a text"}):
        with pytest.raises(
            ConfigurationError, match=r"expected a list of inputs, got a single one.*predict\(\[\.\.\.\]\)"
        ):
            models["label"].predict(inputs)
    with pytest.raises(ConfigurationError, match="tag needs a tagger, but this model gives labels; use predict"):
        models["label"].tag(["a text"])


def test_n_best_tags_begin_with_the_best_and_their_probabilities_add_up(toy):
    trainer, _, _ = toy.fit("tags", task=toy.task("tags", crf=True))
    trainer.save_checkpoint(toy.folder / "crf.ckpt")
    model = seqmodels.load(toy.folder / "crf.ckpt")
    inputs = [["the", "film"], ["so"], []]
    number = len(model.names)
    found = model.tag_n_best(inputs, n=number**2)
    assert [rows[0][0] for rows in found] == model.predict(inputs)
    assert [len(rows) for rows in found] == [number**2, number, 1]
    for rows in found:
        assert sum(math.exp(likelihood) for _, likelihood in rows) == pytest.approx(1, abs=1e-5)
        assert [likelihood for _, likelihood in rows] == sorted((likelihood for _, likelihood in rows), reverse=True)


def test_n_best_needs_a_crf(models):
    with pytest.raises(ConfigurationError, match="n-best tagging needs a tagger trained with crf: true"):
        models["label"].tag_n_best(["a"], 2)
