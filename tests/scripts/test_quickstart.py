"""The quickstart's baselines and its picture of a prediction; training is tested with the configs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "quickstart.py"


@pytest.fixture(scope="module")
def quickstart(load_script: Callable[[Path], ModuleType]) -> ModuleType:
    return load_script(SCRIPT)


def test_baselines(quickstart: ModuleType) -> None:
    train = [{"tokens": ["a", "b", "b"], "tags": ["X", "Y", "X"]}, {"tokens": ["b", "c"], "tags": ["Y", "X"]}]
    test = [{"tokens": ["b", "b", "a", "unknown", "unknown"], "tags": ["Y", "X", "Y", "X", "Z"]}]
    assert quickstart.baselines(train, test) == (2 / 5, 2 / 5)
    assert quickstart.baselines(train, [{"tokens": ["b", "c"], "tags": ["Y", "X"]}]) == (1 / 2, 1.0)


def test_score_table(quickstart: ModuleType) -> None:
    assert quickstart.score_table({"a": 0.15, "tagger": 0.9876}).splitlines()[1:] == [
        "  a        15.0%",
        "  tagger   98.8%",
    ]


def test_a_wrong_prediction_names_the_true_role(quickstart: ModuleType) -> None:
    shown = quickstart.show([[("x", "variable", "parameter"), ("=", "assignment", "assignment")]], colour=False)
    assert [line.split() for line in shown.splitlines()] == [
        ["x", "="],
        ["variable", "(is", "parameter)", "assignment"],
        [],
        ["1", "of", "2", "right,", "among", str(len(quickstart.ROLES)), "roles"],
    ]
    assert "\033" not in shown


def test_colour_is_for_terminals(quickstart: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\033[33mx" in quickstart.show([[("x", "parameter", "parameter")]], colour=True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert quickstart.wants_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not quickstart.wants_colour()


def test_newest_run(quickstart: ModuleType, tmp_path: Path) -> None:
    for number, name in enumerate(("version_9", "version_10")):
        (tmp_path / "tagging" / name).mkdir(parents=True)
        (tmp_path / "tagging" / name / "results.json").write_text("{}")
        os.utime(tmp_path / "tagging" / name / "results.json", (number, number))
    assert quickstart.newest_run(tmp_path).name == "version_10"


def test_the_sample_is_python(quickstart: ModuleType) -> None:
    assert len(list(quickstart.tagged_lines(quickstart.SAMPLE))) == 5
