"""Every registered encoder under every task: it trains, predicts, and no row's prediction depends on the others."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

import seqmodels
from seqmodels import ContiguousStreams, LanguageModel
from seqmodels.encoders import create_encoder, encoder_registry, list_encoders

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "leaky_package"))
importlib.import_module("leaky")

EXAMPLES = {
    "bidirectional": {"layer": {"name": "gru", "hidden_size": 3}},
    "stacked": {"layers": [{"name": "lstm", "hidden_size": 7}, {"name": "rnn", "hidden_size": 3}], "dropout": 0.2},
}


def spec_of(name, request):
    if name == "pretrained":
        return {"name": name, "model": str(request.getfixturevalue("tiny_bert")), "frozen": False}
    sizes = {"hidden_size": 7} if "hidden_size" in encoder_registry.arguments(name) else {}
    return {"name": name, **EXAMPLES.get(name, sizes)}


@pytest.mark.parametrize("kind", ["label", "entities"])
@pytest.mark.parametrize("name", list_encoders())
def test_trains_and_predicts(toy, name, kind, request, tmp_path):
    spec = spec_of(name, request)
    embedder = {} if name == "pretrained" else {"embedding_dim": 5}
    tokenizer = {"name": "pretrained", "path": spec["model"]} if name == "pretrained" else "word"
    data = toy.data(kind, tokenizer=tokenizer)
    trainer, _, _ = toy.fit(kind, task=toy.task(kind, encoder=spec, embedder=embedder), data=data)
    assert all(math.isfinite(value) for value in trainer.callback_metrics.values())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    texts = ["the film was great", "", "Ada Lovelace", "so so so so so so so so so", "unheard of"]
    loaded = seqmodels.load(tmp_path / "model.ckpt")
    together = loaded.predict_proba(texts)
    for text, found in zip(texts, together, strict=True):
        alone = loaded.predict_proba([text])[0]
        torch.testing.assert_close(torch.tensor(alone), torch.tensor(found), atol=1e-5, rtol=1e-5)
    assert loaded.predict(texts) == [loaded.predict([text])[0] for text in texts]


def is_causal(name):
    return name not in ("pretrained", "bidirectional") and create_encoder(spec_of(name, None), 5).causal


@pytest.mark.parametrize("name", [name for name in list_encoders() if is_causal(name)])
def test_models_language(tmp_path, name, request):
    text = tmp_path / "text"
    text.write_text("one dog sat on a mat\nthe cat ran far\n" * 11)
    task = LanguageModel(encoder=spec_of(name, request), embedder={"embedding_dim": 5})
    data = ContiguousStreams("text", train=str(text), validation=str(text), batch_size=3, window=7)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = Trainer(accelerator="cpu", max_epochs=1, limit_train_batches=3, limit_val_batches=2, **quiet)
    trainer.fit(task, datamodule=data)
    assert math.isfinite(trainer.callback_metrics["val_loss"])
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = seqmodels.load(tmp_path / "model.ckpt")
    texts = ["the cat sat", "one", "so far on a mat"]
    for text, found in zip(texts, loaded.score(texts), strict=True):
        assert loaded.score([text])[0].log_probs == pytest.approx(found.log_probs, abs=1e-5)
    assert len(loaded.generate(["the cat", ""], max_length=4, seed=1)) == 2
