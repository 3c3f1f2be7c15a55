"""The benchmarks of language modelling run and print their ratios; what they print is not judged on a test machine."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"


def load_script(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    module = load_script("benchmark_language_model")
    small = [corpus._replace(words=47 + 6 * place, tokens=600) for place, corpus in enumerate(module.CORPORA)]
    for name, value in {"CORPORA": tuple(small), "BATCH": 3, "TIME": 5, "HIDDEN_SIZE": 7, "WARM_UP": 2}.items():
        monkeypatch.setattr(module, name, value)
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield module
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


def test_every_part_but_memory_prints_ratios(speed: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--rounds", "2", "--steps", "3", "--prompts", "5", "--length", "4"]
    speed.main(["--threads", "1", "--data", "/nowhere", "--parts", "fit,softmax,generation", *sizes])
    printed = capsys.readouterr().out
    table = printed.split("ratios: ")[1].splitlines()[1:]
    assert [re.split(r" +\d+\.\d\d \(", line)[0] for line in table] == [
        "PTB: fit, medium / loop, our loss, medium",
        "PTB: fit, medium / loop, usual loss, highest",
        "PTB: fit, highest / loop, usual loss, highest",
        "WikiText-2: fit, medium / loop, usual loss, highest",
        "WikiText-2: fit, highest / loop, usual loss, highest",
        "generation: 5 at once / one at a time",
    ]
    assert all(re.search(r"\d\.\d\d \(\d+\.\d\d to \d+\.\d\d\)", line) for line in table)
    assert [bool(re.search(r": (reached|MISSED)$", line)) for line in table] == [True, True, False, True, False, True]
    assert "PTB, 51 ids" in printed


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the memory status of Linux")
@pytest.mark.parametrize("way", ["USUAL", "OWN", "FIT"])
def test_growth_of_memory_is_a_number(speed: ModuleType, capsys: pytest.CaptureFixture[str], way: str) -> None:
    speed.main(["--threads", "1", "--growth", getattr(speed, way), "--words", "53"])
    assert float(capsys.readouterr().out.splitlines()[-1]) >= 0


def test_the_loop_and_fit_train_on_the_same_batches(speed: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "text"
    speed.write_synthetic(path, 47, 600)
    data = speed.create_data(path, tmp_path)
    assert speed.vocab_size_of(data) == 47 + 4
    seen = [speed.Way(name, data, tmp_path).train(3) for name in (speed.USUAL, speed.FIT)]
    assert [meter._tokens for meter in seen] == [3 * 5, 3 * 5]  # one step after two of warm-up


def test_unknown_part(speed: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.main(["--parts", "fit,speed"])
    assert "expected some of fit,softmax,memory,generation, got speed" in capsys.readouterr().err


def test_verdict_goes_by_the_median(speed: ModuleType) -> None:
    assert speed.describe(speed.Comparison("a", [0.9, 2.0, 1.1], "at least", 1.0)).endswith("at least 1.00: reached")
    assert speed.describe(speed.Comparison("a", [0.9, 2.0, 1.1], "at most", 1.0)).endswith("at most 1.00: MISSED")
    assert speed.describe(speed.Comparison("a", [0.9, 2.0, 1.1])).endswith("1.10 (0.90 to 2.00)")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the memory status of Linux")
def test_memory_of_a_corpus(tmp_path: Path) -> None:
    memory = load_script("benchmark_corpus_memory")
    text = tmp_path / "text"
    memory.write_text(text, 0.3, 101)
    size = text.stat().st_size / 1e6
    assert 0.3 <= size < 1
    measured = memory.measure_stages(str(text), str(tmp_path / "cache"))
    assert list(measured["stages"]) == ["reading", "vocabulary", "encoding", "describing", "50 windows"]
    assert measured["start"] > 0
    table = memory.describe("from the text", measured, size)
    assert re.search(
        r"peak growth / file: \d+\.\d\d \(own memory -?\d+\.\d\d\); at most 1\.00: (reached|MISSED)$", table
    )
