"""`seqmodels check`: the table, the exit status, JSON, and what mistakes are told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from test_command_start import imported

from seqmodels.encoders import encoder_registry
from seqmodels.inference import plugins

ROOT = Path(__file__).parent.parent
BROKEN = """\
import torch
from seqmodels.encoders import Cell, register_encoder

class Mine(Cell):
    def __init__(self, input_size: int, *, hidden_size: int = 7):
        super().__init__(input_size, hidden_size)
        self.mix = torch.nn.Linear(input_size, {size})

    def initial_state(self, batch_size):
        return self.mix.weight.new_zeros(batch_size, self.output_size)

    def step(self, inputs, state):
        {body}
"""
TWICE = (
    'from seqmodels.encoders import GRU, register_encoder\n\n@register_encoder("lstm")\nclass Mine(GRU):\n    pass\n'
)


@pytest.fixture(autouse=True)
def _forget(monkeypatch, folder):
    """Undoes what a plugin registers and that it counts as loaded."""
    monkeypatch.setattr(encoder_registry, "_entries", dict(encoder_registry._entries))
    monkeypatch.setattr(plugins, "_loaded", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = (ROOT / "examples" / "leaky_package" / "leaky.py").read_text()
    (folder / "own_leaky.py").write_text(text.replace('"leaky"', '"own_leaky"'))
    yield
    for name in ("own_leaky", "own_cell"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--encoder", "lstm", "--encoder.hidden_size", 7),
        ("--encoder={name: lstm, hidden_size: 7}", "--input_size=3"),
        ("--encoder", "lstm", "--encoder.bidirectional=true", "--arguments", '{"hidden_size": 7}'),
        ("--encoder.layer.hidden_size", 3, "--encoder.layer.name", "gru", "--encoder.name", "bidirectional"),
        ("--encoder.hidden_size", 7, "--encoder", "lstm", "--seed", 3),
    ],
)
def test_a_registered_one_keeps_all(command, arguments):
    result = command("check", *arguments)
    assert result.status == 0, result.out
    assert "promise         status" in result.out
    assert "broken" not in result.out
    assert "\033" not in result.out
    assert result.err == ""


def test_an_encoder_of_ones_own_need_not_be_registered(command, folder):
    (folder / "own_cell.py").write_text(BROKEN.format(size=7, body="return 2 * state, self.mix(inputs)"))
    result = command("check", "--encoder", "own_cell:Mine")
    assert result.status == 1
    assert "real steps      broken" in result.out
    unregistered = (folder / "own_leaky.py").read_text().replace('@register_encoder("own_leaky")', "")
    (folder / "own_leaky.py").write_text(unregistered)
    result = command("check", "--encoder", "own_leaky:Leaky", "--encoder.hidden_size", 7)
    assert result.status == 0, result.out
    assert "own_leaky:Leaky: 24 kept, 1 not applicable" in result.out


def test_a_plugin_by_its_name(command):
    assert command("check", "--encoder", "own_leaky", "--plugins", "own_leaky", "--encoder.hidden_size", 7).status == 0


def test_json(command, folder):
    (folder / "own_cell.py").write_text(BROKEN.format(size=3, body="h = self.mix(inputs); return h, h"))
    result = command("check", "--encoder", "own_cell:Mine", "--output", "reports/report.json")
    assert result.status == 1
    assert result.out.count("Mine.step: expected an output of shape (5, 7)") == 1
    report = json.loads((folder / "reports" / "report.json").read_text())
    assert (report["encoder"], report["kept"]) == ("own_cell:Mine", False)
    by_name = {row["promise"]: row for row in report["promises"]}
    assert by_name["sizes"]["status"] == "broken"
    assert "own_cell.py:" in by_name["sizes"]["found"]
    assert by_name["refusal"]["status"] == "not applicable"


def test_a_name_registered_twice(command, folder):
    (folder / "own_cell.py").write_text(TWICE)
    result = command("check", "--encoder", "own_cell:Mine")
    assert result.status == 2
    assert "encoder 'lstm' is registered already, by seqmodels.encoders.lstm.LSTM; choose another name" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "check needs an encoder, by its registered name or as module:Class"),
        (("--encoder",), "--encoder needs a value"),
        (("--encoder.hidden_size", 7), "check needs an encoder"),
        (("--encoder", "lstmm"), "unknown encoder 'lstmm'"),
        (("--encoder", "lstm", "--encoder.hiden_size", 7), "(did you mean 'hidden_size'?)"),
        (("--encoder", "own_leakyy:Leaky"), "no module named 'own_leakyy' (did you mean 'own_leaky'?)"),
        (("--encoder", "own_leaky:Laeky"), "cannot import encoder 'own_leaky.Laeky'"),
        (("--encoder", "own_leaky:torch"), "is not a subclass of Encoder or Cell"),
        (("--encoder", "lstm", "--arguments", "7"), "--arguments: expected a JSON object"),
        (("--encoder", "lstm", "--device", "abacus"), "--device: torch cannot compute on 'abacus' here"),
        (("--encoder", "lstm", "--sed", 7), "unknown option '--sed' (did you mean 'seed'?)"),
        (("--encoder", "lstm", "--seed", "x"), "--seed: expected a whole number, got 'x'"),
    ],
)
def test_mistakes(command, arguments, message):
    result = command("check", *arguments)
    assert result.status == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert result.out == ""


def test_it_does_not_wait_for_lightning():
    out, err, last = imported("check", "--encoder", "own_leaky:Leaky", "--encoder.hidden_size", "7")
    assert "24 kept" in out, err
    assert last == "['numpy', 'torch'] 0"
