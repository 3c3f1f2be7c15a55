"""Every registered encoder under both tasks: it trains, predicts, and no row's prediction depends on the others."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import pytest
import torch

import seqmodels
from seqmodels.encoders import encoder_registry, list_encoders

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
