"""Encoders compared with a runner that writes figures instead of training, and the table made of them."""

from __future__ import annotations

import importlib.util
import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from seqmodels.encoders import create_encoder

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "compare_encoders.py"
FIGURES = {
    "parameters": 1_234_567,
    "epochs": 3,
    "fit_seconds": 90.0,
    "tokens_per_second": 20_000,
    "peak_memory_mib": 512,
    "monitor": "val_accuracy",
    "best_score": 0.75,
    "best_checkpoint": "best.ckpt",
    "machine": "a processor, 1 threads",
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("compare_encoders", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)  # where `reproduce` is, as in `python scripts/compare_encoders.py`
        specification.loader.exec_module(module)
    return module


class FakeRunner:
    """Writes what `seqmodels fit` and `seqmodels test` would; the score tells the encoder by its name's length."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> None:
        self.commands.append(list(command)[3:])
        options = dict(word.split("=", 1) for word in command if "=" in word)
        if command[3] == "fit":
            encoder = json.loads(options["--model.init_args.encoder"])
            folder = Path(options["--trainer.default_root_dir"]) / "recipe" / "version_0"
            folder.mkdir(parents=True)
            score = 0.8 + len(encoder.get("layer", encoder)["name"]) / 100
            (folder / "results.json").write_text(json.dumps({**FIGURES, "score": score}))
        else:
            file = Path(command[-1]) / "results.json"
            figures = json.loads(file.read_text())
            file.write_text(json.dumps({**figures, "test_loss": 0.5, "test_accuracy": figures["score"]}))


@pytest.fixture
def given(tmp_path: Path) -> Namespace:
    return Namespace(
        results=tmp_path / "results", runs=tmp_path / "runs", encoders=["mingru", "lstm"], seed=5, epochs=None
    )


@pytest.fixture
def readme(script: ModuleType, tmp_path: Path) -> Path:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n")
    return file


def test_the_encoders_are_alike_but_for_what_they_are(script: ModuleType) -> None:
    assert len(script.ENCODERS) >= 8
    for spec in script.ENCODERS.values():
        encoder = create_encoder(spec, 7)
        assert (encoder.output_size, encoder.causal) == (256, False)


def test_the_recipes_are_there(script: ModuleType) -> None:
    assert all((script.ROOT / task.recipe).is_file() for task in script.TASKS.values())


def test_runs_differ_by_one_option(script: ModuleType, given: Namespace) -> None:
    runner = FakeRunner()
    script.compare("imdb", given, runner)
    fit, test = runner.commands[:2]
    folder = given.runs / "imdb" / "epochs_6" / "seed_5" / "mingru"
    assert fit == [
        "fit", "--config", str(script.ROOT / "configs/classification/imdb.yaml"), "--seed_everything=5",
        f"--trainer.default_root_dir={folder}", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=6",
        '--model.init_args.encoder={"name": "bidirectional", "layer": {"name": "mingru", "hidden_size": 128}}',
    ]  # fmt: skip
    assert test == ["test", "--ckpt_path", str(folder / "recipe" / "version_0")]
    differing = {word.partition("=")[0] for word in set(fit) ^ set(runner.commands[2])}
    assert differing == {"--trainer.default_root_dir", "--model.init_args.encoder"}


def test_the_scores_of_validation_and_test_are_kept(script: ModuleType, given: Namespace) -> None:
    script.compare("imdb", given, FakeRunner())
    kept = json.loads((given.results / "encoders_imdb.json").read_text())
    assert (kept["recipe"], kept["epochs"], kept["seed"]) == ("configs/classification/imdb.yaml", 6, 5)
    assert [row["encoder"] for row in kept["encoders"]] == ["lstm", "mingru"]
    row = kept["encoders"][1]
    assert (row["monitor"], row["best_score"], row["test_accuracy"]) == ("val_accuracy", 0.75, pytest.approx(0.86))
    assert row["spec"] == script.ENCODERS["mingru"]
    assert "best_checkpoint" not in row
    assert "runs" not in kept  # by this key a recipe's figures are told from these


def test_a_finished_run_is_not_repeated(script: ModuleType, given: Namespace) -> None:
    script.compare("imdb", given, FakeRunner())
    runner = FakeRunner()
    given.encoders = ["lstm", "sru"]
    script.compare("imdb", given, runner)
    assert [command[0] for command in runner.commands] == ["fit", "test"]
    kept = json.loads((given.results / "encoders_imdb.json").read_text())
    assert [row["encoder"] for row in kept["encoders"]] == ["lstm", "mingru", "sru"]


@pytest.mark.parametrize(("key", "value", "found"), [("epochs", 7, 6), ("seed", 11, 5)])
def test_figures_of_another_setting(script: ModuleType, given: Namespace, key: str, value: int, found: int) -> None:
    script.compare("imdb", given, FakeRunner())
    setattr(given, key, value)
    with pytest.raises(SystemExit, match=f"expected figures of {key} {value}, found {found}; give another folder"):
        script.compare("imdb", given, FakeRunner())


def test_main_runs_what_it_is_given(
    script: ModuleType, given: Namespace, readme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FakeRunner()
    monkeypatch.setattr(script, "run_command", runner)
    places = ["--readme", str(readme), "--results", str(given.results), "--runs", str(given.runs)]
    assert script.main(["--encoders", "lstm", "--epochs", "2", *places]) == 0
    assert script.main(["--tasks", "imdb", "--encoders", "gru", "--epochs", "2", *places]) == 0
    assert [command[0] for command in runner.commands] == ["fit", "test"] * 3
    assert all("--trainer.max_epochs=2" in command for command in runner.commands[::2])
    written = readme.read_text()
    costs = "1,234,567 / 1,234,567 | 20,000 / 20,000 | 512 / 512 | 1.5 / 1.5 |"
    assert f"| `lstm` | 84.00% | 84.00% | {costs}" in written
    assert "| `gru` | 83.00% | – | 1,234,567 / – | 20,000 / – | 512 / – | 1.5 / – |" in written
    assert "imdb: epochs 2, seed 1." in written
    assert "Measured on a processor, 1 threads." in written
    assert "old" not in written


def test_the_table_is_the_same_when_written_again(script: ModuleType, given: Namespace, readme: Path) -> None:
    script.compare("ud_english_ewt", given, FakeRunner())
    arguments = ["--table-only", "--readme", str(readme), "--results", str(given.results)]
    assert script.main(arguments) == 0
    first = readme.read_text()
    assert script.main(arguments) == 0
    assert readme.read_text() == first
    assert first.startswith(f"before\n{script.BEGIN}\n| encoder | [imdb](")
    assert first.endswith(f"{script.END}\nafter\n")


def test_a_table_of_nothing_is_its_head(script: ModuleType, tmp_path: Path) -> None:
    head, rule = script.format_table(script.read_comparisons(tmp_path)).splitlines()
    assert head.count("|") == rule.count("|") == 8


def test_a_readme_without_markers(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="the README needs the lines"):
        script.replace_between("text", "table")


def test_an_encoder_that_is_not_compared(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script.main(["--encoders", "bilstm"])
    assert "invalid choice: 'bilstm'" in capsys.readouterr().err
