"""The growth of cost with length: measured in processes of their own, gone on with, and reported."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from seqmodels.encoders import create_encoder, list_encoders

pytest.importorskip("matplotlib")

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "benchmark_lengths.py"


@pytest.fixture(scope="module")
def script(load_script: Callable[[Path], ModuleType]) -> ModuleType:
    return load_script(SCRIPT)


class FakeProcess:
    """Answers as the processes do: a microsecond and a hundredth MiB a step; above `longest` it takes too long."""

    def __init__(self, longest: float = math.inf, returncode: int = 0) -> None:
        self.ran: list[tuple[str, int]] = []
        self.longest = longest
        self.returncode = returncode

    def __call__(self, command: list[str], limit: float) -> subprocess.CompletedProcess[str]:
        name, steps = command[command.index("--single") + 1], int(command[command.index("--lengths") + 1])
        self.ran.append((name, steps))
        if steps > self.longest:
            raise subprocess.TimeoutExpired(command, limit)
        answer = json.dumps({"seconds": 1e-6 * steps, "peak_mib": 0.01 * steps})
        return subprocess.CompletedProcess(command, self.returncode, f"a warning\n{answer}\n", "it says why")


@pytest.fixture
def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def started(process: FakeProcess, *arguments: object) -> list[tuple[str, int]]:
        monkeypatch.setattr(script, "run_command", process)
        assert script.main([*map(str, arguments), "--output", str(tmp_path)]) == 0
        return process.ran

    return started


def test_every_encoder_but_a_pretrained_one_is_measured(script: ModuleType) -> None:
    assert {*script.SPECS, "pretrained"} >= set(list_encoders()) - {"leaky"}  # which other tests register
    for name in script.WRAPPED:
        assert create_encoder(script.SPECS[name], 7).input_size == 7


def test_a_process_measures_one_length(script: ModuleType) -> None:
    command = [sys.executable, str(SCRIPT), "--single", "mingru", "--lengths", "19"]
    point = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert point["seconds"] > 0
    assert sorted(point) == ["peak_mib", "seconds"]
    if Path("/proc/self/clear_refs").exists():
        assert point["peak_mib"] >= 0


def test_the_report_has_a_table_and_a_plot(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(FakeProcess(), "--encoders", "mingru", "elman", "--lengths", 4096, 1024)
    assert "elman, 4096 steps: 4.1 ms, 41 MiB" in capsys.readouterr().out
    report = (tmp_path / "lengths.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.splitlines() if line[:1] == "|"]
    assert rows[2] == ["mingru", "whole sequences", "1.0", "4.1", "1.00", "1.0", "41", "1.00"]
    assert rows[3][:2] == ["elman", "cells, step by step"]
    assert (tmp_path / "lengths.png").read_bytes().startswith(b"\x89PNG")


def test_it_goes_on_where_it_stopped(run, tmp_path: Path) -> None:
    assert run(FakeProcess(), "--encoders", "mingru", "--lengths", 1024) == [("mingru", 1024)]
    ran = run(FakeProcess(), "--encoders", "mingru", "sru", "--lengths", 1024, 2048)
    assert ran == [("mingru", 2048), ("sru", 1024), ("sru", 2048)]
    record = json.loads((tmp_path / "lengths.json").read_text())
    assert [(point["encoder"], point["steps"]) for point in record["points"]] == [
        ("mingru", 1024), ("mingru", 2048), ("sru", 1024), ("sru", 2048)
    ]  # fmt: skip
    (tmp_path / "lengths.md").unlink()
    assert run(FakeProcess(), "--report-only") == []
    assert "| sru " in (tmp_path / "lengths.md").read_text()


def test_what_takes_too_long_is_said_and_tried_again_with_more_time(run, tmp_path: Path) -> None:
    options = ["--encoders", "slstm", "--lengths", 1024, 2048, 4096, "--limit"]
    assert run(FakeProcess(longest=1500), *options, 7) == [("slstm", 1024), ("slstm", 2048)]
    assert "| > 7 s " in (tmp_path / "lengths.md").read_text()
    assert run(FakeProcess(), *options, 7) == []
    assert run(FakeProcess(), *options, 11) == [("slstm", 2048), ("slstm", 4096)]
    assert "> 7 s" not in (tmp_path / "lengths.md").read_text()


def test_a_process_that_was_killed_is_a_figure_and_an_error_is_none(run, tmp_path: Path) -> None:
    run(FakeProcess(), "--encoders", "sru", "--lengths", 64)
    run(FakeProcess(returncode=-9), "--encoders", "sru", "--lengths", 128, 256)
    assert "| killed by signal 9 " in (tmp_path / "lengths.md").read_text()
    with pytest.raises(SystemExit, match="mingru, 64 steps: it says why"):
        run(FakeProcess(returncode=1), "--encoders", "mingru", "--lengths", 64)


def test_figures_of_another_machine(run, tmp_path: Path) -> None:
    run(FakeProcess(), "--encoders", "sru", "--lengths", 64)
    record = json.loads((tmp_path / "lengths.json").read_text())
    (tmp_path / "lengths.json").write_text(json.dumps({**record, "machine": "an abacus"}))
    with pytest.raises(SystemExit, match="found an abacus; give another folder by --output"):
        run(FakeProcess(), "--encoders", "sru", "--lengths", 64)


def test_nothing_to_report(run) -> None:
    with pytest.raises(SystemExit, match="nothing has been measured yet; leave out --report-only"):
        run(FakeProcess(), "--report-only")


def test_a_length_of_no_steps(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script.main(["--lengths", "0"])
    assert "--lengths must be at least 1, got 0" in capsys.readouterr().err


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_the_slope_is_the_exponent(script: ModuleType, exponent: float) -> None:
    runs = [{"steps": steps, "seconds": 3 * steps**exponent} for steps in (7, 19, 101)]
    assert script.slope(runs, "seconds") == pytest.approx(exponent)
    assert math.isnan(script.slope(runs[:1], "seconds"))
