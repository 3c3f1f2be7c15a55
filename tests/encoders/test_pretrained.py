"""Hugging Face models as encoders."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from seqmodels.encoders import create_encoder, pretrained_embedding_size, resolve_pretrained
from seqmodels.errors import ConfigurationError, DataError

transformers = pytest.importorskip("transformers")
LENGTHS = torch.tensor([11, 3, 7])


@pytest.fixture
def spec(tiny_bert):
    return {"name": "pretrained", "model": str(tiny_bert)}


def test_own_embeddings_give_what_the_model_gives(tiny_bert, spec):
    model = transformers.AutoModel.from_pretrained(tiny_bert).eval()
    encoder = create_encoder(spec, 6)
    ids = torch.randint(0, 23, (3, 11))
    mask = torch.arange(11) < LENGTHS.unsqueeze(1)
    wanted = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state * mask.unsqueeze(2)
    outputs, state = encoder(encoder.embedding_weights()[ids], LENGTHS)
    torch.testing.assert_close(outputs, wanted)
    assert state is None
    assert not encoder.causal


def test_frozen_stays_as_it_is_and_fine_tuned_does_not(spec):
    frozen = create_encoder(spec, 6).train()
    assert not any(module.training for module in frozen.network.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    tuned = create_encoder(spec, 6, frozen=False).train()
    assert all(module.training for module in tuned.network.modules())
    assert sum(parameter.requires_grad for parameter in tuned.parameters()) > 10
    assert not tuned.network.get_input_embeddings().weight.requires_grad


def test_a_resolved_spec_needs_no_folder(spec):
    encoder = create_encoder(spec, 6)
    resolved = json.loads(json.dumps(resolve_pretrained({**spec, "frozen": False})))
    resolved["model"] = "gone"
    rebuilt = create_encoder(resolved, 6).eval()
    rebuilt.load_state_dict(encoder.state_dict())
    inputs = torch.randn(3, 11, 6)
    torch.testing.assert_close(rebuilt(inputs, LENGTHS)[0], encoder(inputs, LENGTHS)[0])


def test_nested_specs_are_resolved(spec):
    stack = {"name": "stacked", "layers": [spec, "lstm"], "dropout": 0.5}
    resolved = resolve_pretrained(stack)
    assert resolved["layers"][0]["config"]["model_type"] == "bert"
    assert resolved["layers"][1] == "lstm"
    assert "config" not in stack["layers"][0]
    assert resolve_pretrained("lstm") == "lstm"


def test_the_size_to_embed_in_is_known_beforehand(spec):
    assert pretrained_embedding_size(spec) == 6
    assert pretrained_embedding_size("lstm") is None
    assert pretrained_embedding_size({"name": "lstm"}) is None


def test_wrong_sizes_and_too_many_steps_are_refused(spec):
    with pytest.raises(ConfigurationError, match="embeds its tokens in 6 features, got input_size 5"):
        create_encoder(spec, 5)
    with pytest.raises(DataError, match="reads 29 steps at most, the longest row has 31; cut the texts to 29 tokens"):
        create_encoder(spec, 6)(torch.zeros(1, 31, 6), torch.tensor([31]))


def test_unreadable_models_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot read the model .*; give a folder made by `save_pretrained`"):
        create_encoder({"name": "pretrained", "model": str(tmp_path)}, 6)
    config = transformers.BertConfig(hidden_size=6, num_attention_heads=3)
    config.save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match=r"cannot read the model .*; give a folder made by `save_pretrained`"):
        create_encoder({"name": "pretrained", "model": str(tmp_path)}, 6)


def test_wrong_configurations_are_refused():
    for config in ({"hidden_size": 6}, {"model_type": "brt"}):
        with pytest.raises(ConfigurationError, match="config must name a known `model_type`"):
            create_encoder({"name": "pretrained", "model": "x", "config": config}, 6)
    config = {"model_type": "t5", "is_encoder_decoder": True}
    with pytest.raises(ConfigurationError, match="a model of type 't5' has a decoder; choose an encoder"):
        create_encoder({"name": "pretrained", "model": "x", "config": config}, 6)


def test_a_missing_package_names_the_extra(spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'seqmodels\[pretrained\]'"):
        create_encoder(spec, 6)


def test_padding_beyond_the_last_position_is_no_step(spec):
    """A time axis may be rounded up beyond the positions of a model whose rows fit."""
    encoder = create_encoder(spec, 6).eval()
    limit = encoder.network.config.max_position_embeddings
    inputs, lengths = torch.randn(2, limit + 3, 6), torch.tensor([limit, 2])
    outputs, _ = encoder(inputs, lengths)
    assert outputs.shape == (2, limit + 3, encoder.output_size)
    torch.testing.assert_close(outputs[:, :limit], encoder(inputs[:, :limit], lengths)[0])
    with pytest.raises(DataError, match=f"reads {limit} steps at most, the longest row has {limit + 1}"):
        encoder(inputs, lengths + 1)
