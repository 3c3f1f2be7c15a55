"""The benchmark of decoding runs, and prints its ratio; what it prints is not judged on a test machine."""

from __future__ import annotations

import gzip
import importlib.util
import re
from pathlib import Path

import pytest
import torch
from translators import SOURCES, TARGETS

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "benchmark_decoding.py"


@pytest.fixture
def script(monkeypatch):
    specification = importlib.util.spec_from_file_location("benchmark_decoding", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "TOKENIZER", "word")
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield module
    torch.set_num_threads(threads)
    assert torch.get_float32_matmul_precision() == precision


@pytest.fixture
def data(tmp_path):
    (tmp_path / "multi30k").mkdir()
    for name, texts in (("train.en", SOURCES), ("train.de", TARGETS), ("test_2016_flickr.en", SOURCES)):
        with gzip.open(tmp_path / "multi30k" / f"{name}.gz", "wt", encoding="utf-8") as stream:
            stream.write("".join(f"{text}\n" for text in texts))
    return tmp_path


SIZES = ["--threads", "1", "--rounds", "2", "--batch_size", "5", "--single", "3", "--beam_size", "2"]


def test_trains_and_prints_a_ratio(script, data, capsys):
    script.main(["--data", str(data), "--minutes", "0.001", *SIZES])
    out = capsys.readouterr().out
    assert re.search(r"trained for 0\.001 minutes: \d+ steps, loss \d", out)
    assert re.search(r"ratio: \d+\.\d \(\d+\.\d to \d+\.\d\); at least 3: ", out)
    assert "12 sentences" in out


def test_takes_a_checkpoint(script, data, translators, capsys):
    script.main(["--data", str(data), "--ckpt_path", str(translators["words"]), *SIZES])
    assert "5 at once: " in capsys.readouterr().out


def test_needs_data(script, monkeypatch, capsys):
    monkeypatch.delenv("SEQMODELS_DATA", raising=False)
    with pytest.raises(SystemExit):
        script.main([])
    assert "--data, or $SEQMODELS_DATA, must name the folder of multi30k" in capsys.readouterr().err
