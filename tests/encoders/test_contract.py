"""The contract, proved for every registered encoder and for variants of them.

An encoder registered later joins by itself. One that has required arguments needs an entry in `EXAMPLES`.
"""

from __future__ import annotations

import copy
import functools
import importlib
import sys
from pathlib import Path
from typing import Any

import contract
import pytest
import torch
from torch.func import functional_call

from seqmodels.conformance import CHECKS, Promise, Subject, table
from seqmodels.encoders import create_encoder, encoder_registry, list_encoders
from seqmodels.errors import ConfigurationError

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


@pytest.fixture(scope="module")
def subjects(request: pytest.FixtureRequest) -> dict[str, Subject]:
    """The variants, to be built with random weights; a pretrained one is read once, and copied."""
    made = {}
    for variant, spec in VARIANTS.items():
        if spec["name"] == "pretrained":
            folder = str(request.getfixturevalue(spec["model"]))
            read = create_encoder({**spec, "model": folder}, 6)
            made[variant] = Subject(variant, functools.partial(copy.deepcopy, read))
        else:
            made[variant] = Subject(variant, functools.partial(create_encoder, spec, 5))
    return made


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_contract(variant, subjects):
    checks = [check for check in CHECKS if check.__name__ not in contract.SLOW]
    results = [Promise(check, subjects[variant]).result() for check in checks]
    assert not [result for result in results if result.status == "broken"], table(variant, results)
    not_asked = {result.promise.replace(" ", "_") for result in results if result.status == "not applicable"}
    assert not_asked == ({"refusal"} if subjects[variant].build().causal else set(contract.CAUSAL))


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_gradcheck(variant, subjects):
    """Over padding, by inputs and all parameters, along random directions; full ones lie beside cells and scans."""
    encoder = subjects[variant].build().double()
    lengths = torch.tensor([4, 2, 0])
    names = [label for label, _ in encoder.named_parameters()]

    def run(inputs, *weights):
        outputs, state = functional_call(encoder, dict(zip(names, weights, strict=True)), (inputs, lengths))
        return outputs, *(part for part in contract.tensors_of(state) if part.requires_grad)

    inputs = torch.randn(3, 4, encoder.input_size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (inputs, *encoder.parameters()), fast_mode=True)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_what_reads_the_future_says_so(variant, subjects):
    encoder = subjects[variant].build()
    if encoder.causal:
        return
    with pytest.raises(ConfigurationError, match=r"reads the future.*choose a causal encoder"):
        encoder.initial_state(3)
    with pytest.raises(ConfigurationError, match=r"reads the future.*choose a causal encoder"):
        encoder.step(torch.zeros(3, encoder.input_size), None)
    with pytest.raises(ConfigurationError, match=r"reads the future.*choose a causal encoder"):
        encoder(torch.zeros(3, 2, encoder.input_size), torch.tensor([2, 1, 0]), torch.zeros(3, 1))


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_wrong_shapes_are_refused(variant, subjects):
    encoder = subjects[variant].build()
    with pytest.raises(ValueError, match=rf"expected inputs of shape \(batch, time, {encoder.input_size}\), got"):
        encoder(torch.zeros(3, 2, encoder.input_size + 1), torch.tensor([2, 1, 0]))
    with pytest.raises(ValueError, match=r"expected lengths of shape \(3,\), one for each row, got \(2,\)"):
        encoder(torch.zeros(3, 2, encoder.input_size), torch.tensor([2, 1]))


def test_every_encoder_with_required_arguments_has_an_example():
    for name in list_encoders():
        encoder_registry.check(VARIANTS[name])
