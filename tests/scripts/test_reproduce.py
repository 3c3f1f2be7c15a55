"""Runs over seeds and folds with a runner that writes figures instead of training, and the table made of them."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "reproduce.py"
FIGURES = {
    "parameters": 1_234_567,
    "epochs": 3,
    "fit_seconds": 90.0,
    "tokens_per_second": 20_000,
    "peak_memory_mib": 512,
    "monitor": "val_f1",
    "machine": "a processor, 2 threads",
}


@pytest.fixture(scope="module")
def script(load_script: Callable[[Path], ModuleType]) -> ModuleType:
    return load_script(SCRIPT)


class FakeRunner:
    """Writes what `seqmodels fit` and `seqmodels test` would: the score is 0.9 and a hundredth of seed and fold."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> None:
        self.commands.append(list(command)[3:])
        options = dict(word.split("=", 1) for word in command if "=" in word)
        if command[3] == "fit":
            folder = Path(options["--trainer.default_root_dir"]) / "recipe" / "version_0"
            folder.mkdir(parents=True)
            score = 0.9 + (int(options["--seed_everything"]) + int(options.get("--data.init_args.fold", 0))) / 100
            (folder / "results.json").write_text(json.dumps({**FIGURES, "score": score}))
            (folder / "metrics.csv").write_text(f"epoch,step,train_loss,val_f1\n0,9,1.5,\n0,19,,{score}\n")
        else:
            file = Path(command[-1]) / "results.json"
            figures = json.loads(file.read_text())
            file.write_text(json.dumps({**figures, "test_loss": 0.5, "test_f1": figures["score"]}))


@pytest.fixture
def given(tmp_path: Path) -> Namespace:
    return Namespace(results=tmp_path / "results", runs=tmp_path / "runs", option=["--trainer.max_epochs=1"])


CONFIG = Path("configs/tagging/recipe.yaml")


def test_runs_over_seeds(script: ModuleType, given: Namespace) -> None:
    runner = FakeRunner()
    script.reproduce(CONFIG, script.runs_of([1, 3], None), None, given, runner)
    folder = given.runs / "tagging_recipe" / "seed_1"
    assert runner.commands[:2] == [
        ["fit", "--config", str(CONFIG), "--seed_everything=1", f"--trainer.default_root_dir={folder}",
         "--trainer.enable_progress_bar=false", "--trainer.max_epochs=1"],
        ["test", "--ckpt_path", str(folder / "recipe" / "version_0")],
    ]  # fmt: skip
    kept = json.loads((given.results / "tagging_recipe.json").read_text())
    assert kept["recipe"] == "configs/tagging/recipe.yaml"
    assert [(run["seed"], run["fold"], run["test_f1"]) for run in kept["runs"]] == [(1, None, 0.91), (3, None, 0.93)]
    assert "score" not in kept["runs"][0]


def test_a_run_keeps_its_validation_scores(script: ModuleType, given: Namespace) -> None:
    file = given.results / "curves" / "tagging_recipe.csv"
    script.reproduce(CONFIG, script.runs_of([3, 1], None), None, given, FakeRunner())
    assert file.read_text() == "seed,fold,epoch,step,val_f1\n1,,0,19,0.91\n3,,0,19,0.93\n"
    script.reproduce(CONFIG, script.runs_of([3], None), None, given, FakeRunner())
    assert len(file.read_text().splitlines()) == 3


def test_a_run_without_validation_keeps_no_curve(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,train_loss\n0,9,1.5\n")
    for metrics in ("metrics.csv", "none.csv"):
        script.keep_curve(tmp_path / "curve.csv", script.Run(1), tmp_path / metrics)
    assert not (tmp_path / "curve.csv").exists()


def test_options_of_a_run_stand_in_the_table(script: ModuleType, given: Namespace) -> None:
    script.reproduce(CONFIG, script.runs_of([1, 2], None), None, given, FakeRunner())
    table = script.format_table(script.read_results(given.results))
    assert "| [recipe](configs/tagging/recipe.yaml) with `--trainer.max_epochs=1` | f1 |" in table


def test_a_speed_that_was_not_measured_is_a_dash(script: ModuleType, given: Namespace) -> None:
    script.reproduce(CONFIG, script.runs_of([1], None), None, given, FakeRunner())
    (recipe,) = script.read_results(given.results)
    assert " | 20,000 | " in script.format_row(recipe)
    recipe["runs"][0]["tokens_per_second"] = None
    assert " | – | " in script.format_row(recipe)


def test_a_finished_run_is_not_repeated(script: ModuleType, given: Namespace) -> None:
    script.reproduce(CONFIG, script.runs_of([1], None), None, given, FakeRunner())
    runner = FakeRunner()
    script.reproduce(CONFIG, script.runs_of([1, 2], None), None, given, runner)
    assert [command[0] for command in runner.commands] == ["fit", "test"]
    assert len(json.loads((given.results / "tagging_recipe.json").read_text())["runs"]) == 2


def test_folds_are_options_of_the_data(script: ModuleType, given: Namespace) -> None:
    runner = FakeRunner()
    script.reproduce(CONFIG, script.runs_of([1], 3), 3, given, runner)
    fits = [command for command in runner.commands if command[0] == "fit"]
    assert [command[-3:-1] for command in fits] == [
        ["--data.init_args.folds=3", f"--data.init_args.fold={fold}"] for fold in range(3)
    ]
    (row,) = [
        line for line in script.format_table(script.read_results(given.results)).splitlines() if "recipe]" in line
    ]
    assert "| f1 | 92.00% ± 1.00 | 3 folds | 1,234,567 | 1.5 | 20,000 | 512 |" in row


def test_the_table_is_written_between_the_markers(
    script: ModuleType, given: Namespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given.option = []
    script.reproduce(CONFIG, script.runs_of([1, 2, 3], None), None, given, FakeRunner())
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n")
    arguments = ["--table-only", "--readme", str(readme), "--results", str(given.results)]
    assert script.main(arguments) == 0
    first = readme.read_text()
    assert script.main(arguments) == 0
    assert readme.read_text() == first
    assert "| [recipe](configs/tagging/recipe.yaml) | f1 | 92.00% ± 1.00 | 3 seeds |" in first
    assert "Measured on a processor, 2 threads." in first
    assert "old" not in first
    assert first.startswith("before\n")
    assert first.endswith(f"{script.END}\nafter\n")


def test_main_runs_the_recipes_that_it_is_given(
    script: ModuleType, given: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FakeRunner()
    monkeypatch.setattr(script, "run_command", runner)
    readme = tmp_path / "README.md"
    readme.write_text(f"{script.BEGIN}{script.END}")
    places = ["--readme", str(readme), "--results", str(given.results), "--runs", str(given.runs)]
    script.main(["configs/classification/splice.yaml", "configs/classification/trec.yaml", *places])
    assert len(runner.commands) == 2 * (10 + 3)
    assert "10 folds" in readme.read_text()


def test_all_recipes_leave_the_quickstart_out(script: ModuleType, tmp_path: Path) -> None:
    for name in ("tagging/b.yaml", "classification/a.yaml", "quickstart/c.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.stem for path in script.all_recipes(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("metric", "scores", "expected"),
    [
        ("test_accuracy", [0.9462], "94.62%"),
        ("test_accuracy", [0.94, 0.96], "95.00% ± 1.41"),
        ("test_perplexity", [78.1234], "78.123"),
        ("test_bleu", [38.1, 38.5], "38.30 ± 0.28"),
    ],
)
def test_format_scores(script: ModuleType, metric: str, scores: list[float], expected: str) -> None:
    assert script.format_scores(metric, scores) == expected


def test_minutes_of_cpu_stand_beside_those_of_the_clock(script: ModuleType) -> None:
    run = {**FIGURES, "test_f1": 0.5, "cpu_seconds": 120.0}
    recipe = {"recipe": "configs/tagging/recipe.yaml", "folds": None, "runs": [run, run]}
    assert "| 1.5 (2.0) |" in script.format_row(recipe)
    assert "| 1.5 |" in script.format_row({**recipe, "runs": [run, {**FIGURES, "test_f1": 0.5}]})


def test_main_metric_is_the_watched_one(script: ModuleType) -> None:
    results = {"test_loss": 1.0, "test_accuracy": 0.5, "test_f1": 0.4}
    assert script.main_metric({**results, "monitor": "val_f1"}) == "test_f1"
    assert script.main_metric({**results, "monitor": None}) == "test_accuracy"
    assert script.main_metric({"test_loss": 1.0}) == "test_loss"


def test_several_machines_name_their_recipes(script: ModuleType) -> None:
    recipes = [{"recipe": f"configs/a/{name}.yaml", "runs": [{"machine": name.upper()}]} for name in ("x", "y")]
    assert script.format_machines(recipes) == ["Measured on X: x.  ", "Measured on Y: y.  "]


def test_a_readme_without_markers(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="the README needs the lines"):
        script.replace_between("text", "table")


def test_a_fit_without_results(script: ModuleType, given: Namespace) -> None:
    with pytest.raises(SystemExit, match=r"expected a results\.json after `seqmodels fit`, found none"):
        script.reproduce(CONFIG, script.runs_of([1], None), None, given, lambda command: None)


def test_a_test_without_scores(script: ModuleType, given: Namespace) -> None:
    runner = FakeRunner()
    with pytest.raises(SystemExit, match="expected test scores after `seqmodels test`, found none"):
        script.reproduce(CONFIG, script.runs_of([1], None), None, given, lambda c: runner(c) if c[3] == "fit" else None)
