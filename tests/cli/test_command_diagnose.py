"""`seqmodels diagnose`: from the command line to the report, and what it says to mistakes."""

from __future__ import annotations

import builtins
import json

import pytest

from seqmodels.__main__ import main

pytest.importorskip("matplotlib")

QUICK = ["--batch_size=3", "--held_out=5", "--evaluate_every=2", "--hidden_size=5"]


def said(capsys, *arguments):
    status = main(["diagnose", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def checkpoint(toy, tmp_path_factory):
    trainer, _, _ = toy.fit("label", task=toy.task("label", encoder={"name": "gru", "hidden_size": 7}))
    path = tmp_path_factory.mktemp("trained") / "gru.ckpt"
    trainer.save_checkpoint(path)
    return path


def test_says_what_there_is(capsys):
    status, out, _ = said(capsys, "--help")
    assert status == 0
    assert "gradient-flow" in out
    assert "adding, associative_recall, copy_memory" in out
    assert said(capsys)[0] == 2


def test_runs_a_grid_and_goes_on_with_it(capsys, tmp_path):
    specs = tmp_path / "encoders.yaml"
    specs.write_text("- rnn\n- {name: lstm, forget_bias: 1.0}\n")
    options = ["memory", "--encoders", specs, "gru", "--tasks", "parity", "{name: temporal_order, symbols: 3}"]
    options += ["--lengths", 10, 13, "--max_steps=2", *QUICK, "--output", tmp_path / "report"]
    status, out, err = said(capsys, *options)
    assert status == 0
    assert "| temporal_order(symbols=3) | lstm(forget_bias=1.0) | 13 " in out
    assert "[12/12] gru on temporal_order(symbols=3) at 13, seed 0: not solved in 2 steps" in err
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"memory.md", "memory.json", "results.jsonl", "solved_length.png", "learning_curves.png"}
    assert len(json.loads((tmp_path / "report" / "memory.json").read_text())) == 12
    status, _, err = said(capsys, *options)
    assert (status, err.count("done before")) == (0, 12)
    options[options.index("--encoders") : options.index("--lengths")] = ["--encoders", "mingru", "--tasks", "parity"]
    status, out, err = said(capsys, *options)
    assert (status, err.count("done before")) == (0, 0)
    assert "| temporal_order(symbols=3) | lstm(forget_bias=1.0) | 13 " in out  # what was found before is shown again
    assert len(json.loads((tmp_path / "report" / "memory.json").read_text())) == 14


def test_measures_gradients(capsys, tmp_path):
    options = ["--length", 20, "--train_steps=2", "--rows=3", "--chunk=3", *QUICK, "--output", tmp_path]
    status, out, _ = said(capsys, "gradient-flow", "--encoders", "rnn", "mingru", *options)
    assert status == 0
    assert "at initialisation: rnn vanishes" in out
    flows = json.loads((tmp_path / "gradient_flow.json").read_text())
    assert [(flow["encoder"], flow["condition"]) for flow in flows] == [
        ("rnn", "at initialisation"),
        ("rnn", "recurrent weights x 3"),
        ("rnn", "trained, at most 2 steps"),
        ("mingru", "at initialisation"),
        ("mingru", "trained, at most 2 steps"),
    ]
    assert (tmp_path / "gradient_flow.png").read_bytes().startswith(b"\x89PNG")
    assert "| at initialisation" in (tmp_path / "gradient_flow.md").read_text()


def test_measures_the_units_of_a_checkpoint(capsys, tmp_path, checkpoint):
    (tmp_path / "texts.txt").write_text("the film was great\n\na film so dull\n")
    options = ["--ckpt_path", checkpoint, "--input", tmp_path / "texts.txt", "--wanted", 50, "--output", tmp_path]
    status, out, _ = said(capsys, "timescales", *options)
    assert status == 0
    assert "| gru " in out
    report = json.loads((tmp_path / "timescales.json").read_text())
    assert report["inputs"].startswith("2 texts of")
    assert len(report["layers"][0]["time_constants"]) == 7
    assert report["layers"][0]["steps"] == 4
    assert "chrono initialisation, b = ln u with u uniform in [1, 49]" in (tmp_path / "timescales.md").read_text()
    assert (tmp_path / "timescales.png").read_bytes().startswith(b"\x89PNG")
    options = ["--ckpt_path", checkpoint, "--rows=3", "--steps=17", "--output", tmp_path]
    assert said(capsys, "timescales", *options)[0] == 0
    assert json.loads((tmp_path / "timescales.json").read_text())["layers"][0]["steps"] == 17


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memroy"], "no experiment 'memroy' (did you mean 'memory'?)"),
        (["memory", "--lenghts", "3"], "unknown option '--lenghts' (did you mean 'lengths'?)"),
        (["memory", "--encoders", "lsmt"], "unknown encoder 'lsmt'"),
        (["memory", "--tasks", "ading"], "unknown memory task 'ading'"),
        (["memory", "--lengths", "0"], "needs a length of at least 2 steps, got 0"),
        (["memory", "--lengths", "ten"], "--lengths"),
        (["memory", "--encoders", "{name: lstm"], "is no name and no mapping in YAML"),
        (["gradient-flow", "--encoders", "{name: lstm, bidirectional: true}"], "reads the future"),
        (["gradient-flow", "--chunk", "0"], "chunk must be at least 1, got 0"),
        (["timescales"], "timescales needs a trained model: --ckpt_path"),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, arguments, message):
    options = [] if arguments[0] == "memroy" else ["--output", tmp_path / "nothing"]
    status, out, err = said(capsys, *arguments, *options)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "nothing").exists()


def test_files_that_cannot_be_read_are_told_of(capsys, tmp_path, checkpoint):
    (tmp_path / "one.yaml").write_text("name: lstm\n")
    (tmp_path / "empty.txt").write_text("\n")
    for arguments, message in [
        (["memory", "--encoders", tmp_path / "none.yaml"], "none.yaml: cannot be read"),
        (["memory", "--encoders", tmp_path / "one.yaml"], "expected a list of names and mappings, got dict"),
        (["timescales", "--ckpt_path", checkpoint, "--input", tmp_path / "empty.txt"], "holds no texts"),
    ]:
        status, _, err = said(capsys, *arguments)
        assert status == 1
        assert message in err


def test_a_model_without_gates_is_told_of(capsys, toy, tmp_path):
    trainer, _, _ = toy.fit("label", task=toy.task("label", encoder={"name": "rnn", "hidden_size": 7}))
    trainer.save_checkpoint(tmp_path / "rnn.ckpt")
    status, _, err = said(capsys, "timescales", "--ckpt_path", tmp_path / "rnn.ckpt", "--output", tmp_path)
    assert status == 2
    assert "the forget gates of encoder 'rnn' are not known; known:" in err


def test_matplotlib_is_asked_for_before_the_work(capsys, tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **keywords):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    status, _, err = said(capsys, "memory", "--output", tmp_path / "nothing")
    assert status == 2
    assert "need matplotlib: pip install seqmodels[plots]" in err
    assert not (tmp_path / "nothing").exists()
