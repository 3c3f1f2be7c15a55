"""A model as a folder: safetensors, JSON and the tokenizer's own file."""

from __future__ import annotations

import json

import pytest

import seqmodels
from seqmodels.errors import CheckpointError

TEXTS = ["the film was great", "", "xyzzy ünïcödé", "so dull"]


@pytest.fixture
def saved(checkpoints, tmp_path):
    seqmodels.save_pretrained(seqmodels.load(checkpoints["entities"]), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("kind", ["label", "labels", "tags", "entities", "features"])
def test_a_saved_model_predicts_the_same(checkpoints, kind, tmp_path):
    inputs = [[[0.3, 1.0], [0.6, 1.0]]] if kind == "features" else TEXTS
    model = seqmodels.load(checkpoints[kind])
    seqmodels.save_pretrained(model, tmp_path / "model")
    names = {"config.json", "model.safetensors", "README.md"} | ({"tokenizer.json"} if kind != "features" else set())
    assert {file.name for file in (tmp_path / "model").iterdir()} == names
    for again in (seqmodels.from_pretrained(tmp_path / "model"), seqmodels.load(tmp_path / "model")):
        assert again.results(inputs) == model.results(inputs)
        assert again.names == model.names


def test_nothing_is_pickled_and_the_tokenizer_is_the_usual_one(saved):
    import tokenizers

    assert tokenizers.Tokenizer.from_file(str(saved / "tokenizer.json")).get_vocab_size() > 4
    config = json.loads((saved / "config.json").read_text())
    assert config["network"]["name"] == "tagging"
    assert "data" not in config
    assert "json" not in config["schema"]["tokens"]
    assert "model.tag(" in (saved / "README.md").read_text()
    assert not (saved / "model.safetensors").read_bytes().startswith((b"PK", b"\x80"))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=rf"expected the file {name}, as save_pretrained writes it"):
        seqmodels.from_pretrained(saved)


def test_a_missing_tokenizer_is_named(saved):
    (saved / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"damaged, or not a folder of seqmodels.*tokenizer\.json"):
        seqmodels.from_pretrained(saved)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", r"damaged, or not a folder of seqmodels"),
        ("config.json", b"\xff\xfe", r"damaged, or not a folder of seqmodels"),
        ("config.json", b"[]", r"config\.json: not a record of seqmodels: it does not say of which format"),
        ("config.json", b'{"format": 1}', r"it has no network and no schema and no model"),
        ("config.json", b'{"format": 99}', r"made by a newer seqmodels \(format 99, this reads"),
        ("model.safetensors", b"short", r"damaged, or not a folder of seqmodels"),
        ("tokenizer.json", b"{}", r"the stored tokenizer cannot be read"),
    ],
)
def test_a_damaged_file_is_refused(saved, name, content, message):
    (saved / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        seqmodels.from_pretrained(saved)


def test_no_folder_and_no_hub(monkeypatch):
    import huggingface_hub

    def offline(*arguments, **named):
        raise huggingface_hub.errors.LocalEntryNotFoundError("cannot be reached")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(CheckpointError, match="'someone/absent' is neither a folder here nor to be had from the hub"):
        seqmodels.from_pretrained("someone/absent")
