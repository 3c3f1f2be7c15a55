"""A pretrained encoder with its tokenizer, from training to prediction once its folder is gone."""

from __future__ import annotations

import shutil

import pytest
import torch

import seqmodels
from seqmodels import Task
from seqmodels.errors import ConfigurationError

transformers = pytest.importorskip("transformers")
TEXTS = ["the film was great", "so fine", "Ada Lovelace was Paris", ""]


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("kind", ["label", "entities"])
def test_predicts_without_the_folder(toy, tiny_bert, kind, frozen, tmp_path):
    folder = tmp_path / "bert"
    shutil.copytree(tiny_bert, folder)
    encoder = {"name": "pretrained", "model": folder, "frozen": frozen}
    data = toy.data(kind, tokenizer={"name": "pretrained", "path": str(folder)})
    task = toy.task(kind, encoder=encoder, embedder="embedding")
    trainer, task, _ = toy.fit(kind, task=task, data=data, max_steps=3)
    original = transformers.AutoModel.from_pretrained(folder)
    same = [
        torch.equal(trained, before)
        for (name, trained), (_, before) in zip(
            task.network.encoder.network.named_parameters(),
            [(n, p) for n, p in original.named_parameters() if not n.startswith("pooler")],
            strict=True,
        )
        if "layer.0" in name
    ]
    assert all(same) if frozen else not all(same)
    path = tmp_path / "model.ckpt"
    trainer.save_checkpoint(path)
    expected = seqmodels.load(path).predict_proba(TEXTS)
    tested = trainer.test(task, datamodule=data, verbose=False)
    shutil.rmtree(folder)

    trainer.save_checkpoint(path)
    for found, wanted in zip(seqmodels.load(path).predict_proba(TEXTS), expected, strict=True):
        assert (found == wanted).all()
    again = Task.load_from_checkpoint(path)
    assert toy.trainer().test(again, datamodule=data, verbose=False) == tested
    toy.fit(kind, task=again, data=data, max_steps=1)
    seqmodels.save_pretrained(seqmodels.load(path), tmp_path / "saved")
    assert seqmodels.from_pretrained(tmp_path / "saved").predict(TEXTS) == seqmodels.load(path).predict(TEXTS)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_recurrent_layer_on_top(toy, tiny_bert, frozen):
    pretrained = {"name": "pretrained", "model": str(tiny_bert), "frozen": frozen}
    encoder = {"name": "stacked", "layers": [pretrained, {"name": "lstm", "hidden_size": 7}]}
    data = toy.data("entities", tokenizer={"name": "pretrained", "path": str(tiny_bert)})
    _, task, _ = toy.fit("entities", task=toy.task("entities", encoder=encoder, embedder="embedding"), data=data)
    original = transformers.AutoModel.from_pretrained(tiny_bert).get_input_embeddings().weight
    table = task.network.embedder.token_weights()
    assert torch.equal(table, original[: len(table)]) == frozen  # a frozen model's embeddings are frozen, too
    assert task.network.encoder.layers[1].network.weight_hh_l0.requires_grad


def test_the_table_starts_from_the_models_own(toy, tiny_bert):
    encoder = {"name": "pretrained", "model": str(tiny_bert)}
    data = toy.data("label", tokenizer={"name": "pretrained", "path": str(tiny_bert)})
    still = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.0}}
    task = toy.task("label", encoder=encoder, embedder="embedding", optimizer=still)
    _, task, _ = toy.fit("label", task=task, data=data, max_steps=1)
    weights = task.network.encoder.embedding_weights()
    table = task.network.embedder.token_weights()
    assert torch.equal(table, weights[: len(table)])


def test_another_tokenizer_is_refused(toy, tiny_bert):
    encoder = {"name": "pretrained", "model": str(tiny_bert)}
    data = toy.data("label", tokenizer={"name": "bpe", "vocab_size": 270})
    with pytest.raises(ConfigurationError, match=r"use the tokenizer of the same model"):
        toy.fit("label", task=toy.task("label", encoder=encoder, embedder="embedding"), data=data)
