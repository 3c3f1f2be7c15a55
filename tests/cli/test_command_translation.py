"""Translation by the command line: what is kept, what beats what, and what is misspelt."""

from __future__ import annotations

import json

import pytest
import torch

CONFIG = """\
model:
  class_path: Translator
  init_args:
    encoder: {name: gru, hidden_size: 5, bidirectional: true}
    embedder: {embedding_dim: 7}
    target_embedder: {embedding_dim: 3}
    decoder: {layer: {name: gru, hidden_size: 11}}
data:
  class_path: SequencePairs
  init_args:
    reader: {name: parallel, source: in, target: out}
    train: pairs
    validation: pairs
    test: pairs
    tokenizer: word
trainer:
  max_epochs: 1
  accelerator: cpu
"""


@pytest.fixture
def translator(folder):
    rows = [f"{first} {second}" for first in "abc" for second in "defg"]
    (folder / "pairs.in").write_text("".join(f"{row}\n" for row in rows))
    (folder / "pairs.out").write_text("".join(f"{row[::-1]}\n" for row in rows))
    (folder / "translator.yaml").write_text(CONFIG)
    return ("fit", "--config", "translator.yaml")


def test_a_fit_keeps_the_best_by_its_monitor_and_a_test_says_how_was_scored(command, folder, translator):
    result = command(*translator, "--model.monitor", "val_ter", "--model.decoder.input_feeding", "true")
    assert result.status == 0, result.err
    run = folder / "runs" / "translator" / "version_0"
    fitted = json.loads((run / "results.json").read_text())
    assert fitted["monitor"] == "val_ter"
    assert "input_feeding: true" in (run / "config.yaml").read_text()
    kept = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]
    assert any("'monitor': 'val_ter', 'mode': 'min'" in key for key in kept)
    result = command("test", "--ckpt_path", run, "--model.beam_size", "2")
    assert result.status == 0, result.err
    tested = json.loads((run / "results.json").read_text())
    scores = tested["tests"]["--model.beam_size 2"]
    assert scores["test_beam_size"] == 2
    assert scores["test_ter_signature"].startswith("nrefs:1|case:lc|tok:tercom")
    assert tested["best_score"] == fitted["best_score"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--model.decoder.input_feding", "true", "'attention' has no argument 'input_feding' (did you mean"),
        ("--model.decoder.attention", "aditive", "unknown attention 'aditive'"),
        ("--model.decoder.attention", "{name: additive, hiden_size: 3}", "has no argument 'hiden_size' (did you mean"),
        ("--model.decoder.layer", "{name: gru, hiden_size: 3}", "has no argument 'hiden_size' (did you mean"),
        ("--model.target_embedder.embeding_dim", "3", "has no argument 'embeding_dim' (did you mean"),
        ("--model.beam_sise", "3", "did you mean 'beam_size'"),
    ],
)
def test_what_is_misspelt_is_named_with_the_nearest(command, translator, option, value, message):
    result = command(*translator, option, value)
    assert result.status == 2
    assert message in result.err


def test_predictions_are_written_as_a_table_too(command, folder, translator):
    assert command(*translator).status == 0
    path = folder / "runs" / "translator" / "version_0"
    result = command("predict", "--ckpt_path", path, "--input", "pairs.in", "--output", "found.csv")
    assert result.status == 0, result.err
    result = command("predict", "--ckpt_path", path, "--input", "pairs.in")
    found = [json.loads(line) for line in result.out.splitlines()]
    table = (folder / "found.csv").read_text().splitlines()
    assert table[1:] == [f",{row['text']},{row['translation']}" for row in found]
    assert len(found) == 12


def test_decoders_are_listed(command):
    result = command("decoders")
    assert result.status == 0
    assert "input_feeding" in result.out
