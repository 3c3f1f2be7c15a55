"""Encoders of the user's own: listed, imported as plugins and entry points, trained by name under both tasks."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from seqmodels.encoders import encoder_registry
from seqmodels.inference import plugins

LEAKY = Path(__file__).parent.parent / "examples" / "leaky_package"


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    """Undoes what a plugin registers and that it counts as loaded."""
    monkeypatch.setattr(encoder_registry, "_entries", dict(encoder_registry._entries))
    monkeypatch.setattr(plugins, "_loaded", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in ("leaky", "echo_encoder", "broken_plugin"):
        if name not in before:
            sys.modules.pop(name, None)


def test_the_list(command):
    result = command("encoders")
    assert result.status == 0
    for name in encoder_registry.names():
        assert f"\n{name}" in f"\n{result.out}"
    assert "num_layers: 1," in result.out
    assert "bidirectional: false" in result.out
    assert "dropout: 0.0" in result.out
    assert "layer: required" in result.out


def test_one_of_the_list(command):
    result = command("encoders", "lstm")
    assert "forget_bias: null" in result.out
    assert "Hochreiter" in result.out
    assert "gru" not in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lstmm",), "unknown encoder 'lstmm'"),
        (("--plugin", "x"), "no option '--plugin' (did you mean '--plugins'?)"),
        (("--plugins", "nowhere"), "no module named 'nowhere'"),
    ],
)
def test_mistakes_about_the_list(command, arguments, message):
    result = command("encoders", *arguments)
    assert result.status == 2
    assert message in result.err
    assert "Traceback" not in result.err


def test_a_plugin_is_listed(command, monkeypatch):
    monkeypatch.syspath_prepend(str(LEAKY))
    result = command("encoders", "leaky", "--plugins", "leaky")
    assert "{hidden_size: 128}" in result.out


@pytest.mark.parametrize("config", ["classifier.yaml", "tagger.yaml"])
def test_an_encoder_of_ones_own_under_both_tasks(command, folder, monkeypatch, config):
    monkeypatch.syspath_prepend(str(LEAKY))
    text = re.sub("name: (lstm|gru)", "name: leaky", (folder / config).read_text())
    (folder / "own.yaml").write_text(f"plugins: [leaky]\n{text}")
    result = command("fit", "--config", "own.yaml")
    assert result.status == 0, result.err
    run = folder / "runs" / "own" / "version_0"
    assert "plugins:\n- leaky" in (run / "config.yaml").read_text()
    tested = command("test", "--ckpt_path", run, "--plugins", "leaky")
    assert tested.status == 0, tested.err


def test_a_single_plugin_needs_no_brackets(command, folder, monkeypatch):
    monkeypatch.syspath_prepend(str(LEAKY))
    (folder / "own.yaml").write_text("plugins: leaky\n" + (folder / "classifier.yaml").read_text())
    result = command("fit", "--config", "own.yaml", "--model.encoder.name", "leaky", "--dry_run")
    assert result.status == 0, result.err


def test_a_checkpoint_with_a_plugin_names_it(command, folder, monkeypatch):
    monkeypatch.syspath_prepend(str(LEAKY))
    assert command("fit", "--config", "classifier.yaml", "--plugins", "leaky", "--model.encoder", "leaky").status == 0
    del encoder_registry._entries["leaky"]
    result = command("test", "--ckpt_path", "runs/classifier/version_0")
    assert result.status == 1
    assert "encoder 'leaky', which is not registered here; it was made with the plugins leaky" in result.err


def test_an_entry_point(command, folder, monkeypatch):
    site = folder / "site"
    (site / "echo-1.0.dist-info").mkdir(parents=True)
    (site / "echo-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: echo\nVersion: 1.0\n")
    (site / "echo-1.0.dist-info" / "entry_points.txt").write_text("[seqmodels.plugins]\necho = echo_encoder\n")
    text = (LEAKY / "leaky.py").read_text().replace('"leaky"', '"echo"')
    (site / "echo_encoder.py").write_text(text)
    monkeypatch.syspath_prepend(str(site))
    assert "hidden_size" in command("encoders", "echo").out


def test_a_plugin_that_fails(command, folder):
    (folder / "broken_plugin.py").write_text("1 / 0\n")
    result = command("fit", "--config", "classifier.yaml", "--plugins", "broken_plugin")
    assert "plugin 'broken_plugin' failed while it was imported: ZeroDivisionError" in result.err
    (folder / "broken_plugin.py").write_text("import not_there_at_all\n")
    result = command("encoders", "--plugins", "broken_plugin")
    assert "plugin 'broken_plugin' imports 'not_there_at_all', which is not installed" in result.err
