"""The contract, proved for every registered encoder and for variants of them.

An encoder registered later joins by itself. One that has required arguments needs an entry in `EXAMPLES`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import contract
import pytest
import torch

from seqmodels.encoders import Encoder, create_encoder, encoder_registry, list_encoders

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "leaky_package"))
importlib.import_module("leaky")

EXAMPLES: dict[str, dict[str, Any]] = {
    "bidirectional": {"layer": {"name": "lstm", "hidden_size": 7}},
    "stacked": {"layers": [{"name": "lstm", "hidden_size": 7}, {"name": "gru", "hidden_size": 3}]},
    "pretrained": {"model": "tiny_bert", "frozen": False},
}
VARIANTS: dict[str, Any] = {
    "lstm 2 layers": {"name": "lstm", "hidden_size": 7, "num_layers": 2},
    "lstm both directions": {"name": "lstm", "hidden_size": 7, "bidirectional": True},
    "lstm 3 layers both directions": {"name": "lstm", "hidden_size": 3, "num_layers": 3, "bidirectional": True},
    "lstm orthogonal, forgets little": {
        "name": "lstm",
        "hidden_size": 7,
        "forget_bias": 1.0,
        "recurrent_init": "orthogonal",
    },
    "causal convolution": {"name": "convolution", "hidden_size": 7, "kernel_size": 4, "causal": True},
    "causal convolution of one step": {"name": "convolution", "hidden_size": 7, "kernel_size": 1, "causal": True},
    "gru 2 layers": {"name": "gru", "hidden_size": 7, "num_layers": 2},
    "gru both directions": {"name": "gru", "hidden_size": 7, "num_layers": 2, "bidirectional": True},
    "rnn relu 2 layers": {"name": "rnn", "hidden_size": 7, "num_layers": 2, "nonlinearity": "relu"},
    "rnn both directions": {"name": "rnn", "hidden_size": 7, "bidirectional": True},
    "leaky both directions": {"name": "bidirectional", "layer": {"name": "leaky", "hidden_size": 7}},
    "stack in both directions": {"name": "bidirectional", "layer": {"name": "stacked", "layers": ["gru", "leaky"]}},
    "stack with all": {
        "name": "stacked",
        "layers": [{"name": "lstm", "hidden_size": 7}, {"name": "leaky", "hidden_size": 7}],
        "residual": True,
        "layer_norm": True,
    },
    "stack of both directions": {
        "name": "stacked",
        "layers": [
            {"name": "bidirectional", "layer": {"name": "lstm", "hidden_size": 3}},
            {"name": "gru", "hidden_size": 3, "bidirectional": True},
        ],
        "residual": True,
        "layer_norm": True,
    },
    "pretrained frozen": {"name": "pretrained", "model": "tiny_bert"},
}
for _name in list_encoders():
    _size = {"hidden_size": 7} if "hidden_size" in encoder_registry.arguments(_name) else {}
    VARIANTS[_name] = {"name": _name, **EXAMPLES.get(_name, _size)}


def build(variant: str, request: pytest.FixtureRequest, seed: int = 0) -> Encoder:
    """Builds a variant with random weights, in evaluation mode."""
    spec = dict(VARIANTS[variant])
    input_size = 5
    if spec["name"] == "pretrained":
        spec["model"] = str(request.getfixturevalue(spec["model"]))
        input_size = 6
    torch.manual_seed(seed)
    return create_encoder(spec, input_size).eval()


@pytest.mark.parametrize("check", contract.FOR_ALL, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_contract(variant, check, request):
    check(build(variant, request))


@pytest.mark.parametrize("check", contract.FOR_CAUSAL, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_contract_of_causal_encoders(variant, check, request):
    encoder = build(variant, request)
    if encoder.causal:
        check(encoder)
        return
    with pytest.raises(ValueError, match=r"reads the future.*choose a causal encoder"):
        encoder.initial_state(3)
    with pytest.raises(ValueError, match=r"reads the future.*choose a causal encoder"):
        encoder.step(torch.zeros(3, encoder.input_size), None)
    with pytest.raises(ValueError, match=r"reads the future.*choose a causal encoder"):
        encoder(torch.zeros(3, 2, encoder.input_size), torch.tensor([2, 1, 0]), torch.zeros(3, 1))


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_state_dict_round_trips(variant, request):
    contract.check_state_dict(build(variant, request), build(variant, request, seed=1))


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_wrong_shapes_are_refused(variant, request):
    encoder = build(variant, request)
    with pytest.raises(ValueError, match=rf"expected inputs of shape \(batch, time, {encoder.input_size}\), got"):
        encoder(torch.zeros(3, 2, encoder.input_size + 1), torch.tensor([2, 1, 0]))
    with pytest.raises(ValueError, match=r"expected lengths of shape \(3,\), one for each row, got \(2,\)"):
        encoder(torch.zeros(3, 2, encoder.input_size), torch.tensor([2, 1]))


def test_every_encoder_with_required_arguments_has_an_example():
    for name in list_encoders():
        encoder_registry.check(VARIANTS[name])
