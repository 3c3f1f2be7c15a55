"""The course of long trainings, drawn and tabled from what was kept of the runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("matplotlib")

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "training_curves.py"


@pytest.fixture(scope="module")
def script(load_script: Callable[[Path], ModuleType]) -> ModuleType:
    return load_script(SCRIPT)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    runs = [
        {"seed": seed, "fit_seconds": 7200.0, "test_perplexity": 130.26, "machine": "a machine", "options": ["--fast"]}
        for seed in (1, 2, 3)
    ]
    (tmp_path / "curves").mkdir()
    (tmp_path / "language_modeling_ptb_awd_lstm.json").write_text(json.dumps({"recipe": "r", "runs": runs}))
    course = ["seed,fold,epoch,step,val_loss,val_perplexity"]
    course += [
        f"{seed},,{epoch},{9 * epoch + 8},5,{300.04 / (epoch + seed):.2f}" for seed in (1, 2) for epoch in (0, 1)
    ]
    course += ["2,,2,20,5,77.5"]  # bounded by time
    (tmp_path / "curves" / "language_modeling_ptb_awd_lstm.csv").write_text("\n".join(course) + "\n")
    return tmp_path


def test_the_report_has_each_run_beside_the_published_end(
    script: ModuleType, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--results", str(results)]) == 0
    report = (results / "curves" / "curves.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.splitlines() if line[:1] == "|"]
    assert rows[0][:4] == ["recipe", "epoch 1", "epoch 2", "at the end"]
    assert [row[:4] for row in rows[2:]] == [  # of seed 3 no course was kept
        ["ptb_awd_lstm, seed 1", "300.0", "150.0", "150.0 after 2"],
        ["ptb_awd_lstm, seed 2", "150.0", "100.0", "77.5 after 2.33"],
    ]
    assert rows[2][4:] == ["2.0", "130.3", "61.2 / 58.8 after 500"]
    assert "Measured on a machine.\n" in report
    assert "the repository, not finetuned; run here with `--fast`." in report
    assert "ptb_medium" not in report
    assert (results / "curves" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "curves.md" in capsys.readouterr().out


def test_every_published_training_has_a_recipe(script: ModuleType) -> None:
    for name in script.PUBLISHED:
        assert (SCRIPT.parent.parent / "configs" / "language_modeling" / f"{name}.yaml").exists()


def test_nothing_was_run(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"expected the course of one of ptb_medium, .*; found none: run"):
        script.main(["--results", str(tmp_path)])
