"""Every recipe: its first lines hold its command, and it trains and tests for two batches."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from seqmodels.__main__ import main

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all the runs go."""
    return tmp_path_factory.mktemp("recipes")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / "configs").with_suffix(""))


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_the_first_lines_are_for_people(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    assert len(comments) >= 3, "what it trains, the command, the number to expect"
    commands = re.findall(r"seqmodels fit --config (\S+)", "\n".join(comments))
    assert commands[:1] == [str(path.relative_to(ROOT))]
    assert any(line.startswith("# Expect") for line in comments)
    assert len(lines) <= 45, "a page"


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_it_says_nothing_that_is_the_default(path: Path) -> None:
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(config) <= {"model", "data", "trainer", "seed_everything", "float32_matmul_precision"}
    assert config["trainer"]["max_epochs"] > 0


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_it_runs(path: Path, runs: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if "$SEQMODELS_DATA" in text and not os.environ.get("SEQMODELS_DATA"):
        pytest.skip("SEQMODELS_DATA is not set")
    short = [f"--trainer.limit_{part}_batches=2" for part in ("train", "val", "test")]
    folder = runs / path.stem / "version_0"
    arguments = [*short, "--trainer.accelerator=cpu", "--data.batch_size=2"]
    status = main(
        ["fit", "--config", str(path), f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=1", *arguments]
    )
    assert status == 0
    validates = "\n    validation" in text
    assert (folder / "checkpoints" / ("best.ckpt" if validates else "last.ckpt")).exists()
    assert main(["test", "--ckpt_path", str(folder), *arguments]) == 0
    assert '"test_' in (folder / "results.json").read_text()
