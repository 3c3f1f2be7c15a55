"""The grid of memory tasks: it learns, goes on where it stopped, and reports."""

from __future__ import annotations

import io
import json

import pytest

from seqmodels.diagnostics.memory_grid import Cell, folder_records, read_records, run_grid, solved_length, spec_name
from seqmodels.diagnostics.memory_report import memory_table, write_memory_report
from seqmodels.diagnostics.memory_tasks import memory_task_registry
from seqmodels.diagnostics.progress import Progress
from seqmodels.diagnostics.solve import Solver, Training, solve
from seqmodels.errors import ConfigurationError, DataError

QUICK = Training(max_steps=2, batch_size=3, evaluate_every=1, held_out=5, hidden_size=5)
CELLS = [Cell(encoder, "parity", length, 0) for encoder in ("gru", "rnn") for length in (3, 7)]


def untimed(records):
    return [{**record, "seconds": 0} for record in json.loads(json.dumps(records))]


def grid(folder, cells=CELLS, training=QUICK):
    said = io.StringIO()
    return run_grid(cells, training, folder, Progress(said)), said.getvalue()


def test_a_gated_network_solves_what_is_short():
    task = memory_task_registry.create("delayed_recall", 12)
    training = Training(
        max_steps=400, batch_size=31, evaluate_every=20, held_out=101, hidden_size=17, learning_rate=0.02
    )
    seen = []
    solution, solver = solve("gru", task, training, report=lambda step, score: seen.append((step, score)))
    assert solution.solved
    assert solution.chrono
    assert solution.best >= 0.99 > solution.chance
    assert solution.curve == seen
    assert solution.steps == seen[-1][0] < 400
    assert solution.parameters == sum(parameter.numel() for parameter in solver.parameters())


def test_the_seed_decides():
    task = memory_task_registry.create("adding", 7)
    curves = [solve("lstm", task, QUICK, seed=seed)[0].curve for seed in (1, 1, 2)]
    assert curves[0] == curves[1] != curves[2]


def test_chrono_leaves_a_given_forget_bias_alone():
    task = memory_task_registry.create("adding", 7)
    given = {"name": "lstm", "forget_bias": 3.0}
    assert Solver("lstm", task, QUICK, 0).chrono
    assert not Solver(given, task, QUICK, 0).chrono
    assert not Solver("rnn", task, QUICK, 0).chrono
    assert not Solver("lstm", task, Training(initialization="default"), 0).chrono


def test_the_budget_ends_it():
    task = memory_task_registry.create("adding", 7)
    assert solve("rnn", task, QUICK)[0].steps == 2
    hurried = Training(max_seconds=1e-9, batch_size=3, held_out=5, hidden_size=5)
    assert solve("rnn", task, hurried)[0].steps == 0


def test_a_grid_goes_on_where_it_stopped(tmp_path):
    whole, said = grid(tmp_path)
    path = tmp_path / "results.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert [json.loads(line) for line in lines] == json.loads(json.dumps(whole))
    assert "done before" not in said
    path.write_text("".join(lines[:2]) + lines[2][:40])  # cut short in the middle of a line
    again, said = grid(tmp_path)
    assert said.count("done before") == 2
    assert len(read_records(path)) == len(path.read_text().splitlines()) == 4
    assert untimed(again) == untimed(whole)
    path.write_text("".join(lines)[:-1])  # the last line break is missing, nothing else
    assert grid(tmp_path)[1].count("done before") == 4


def test_another_budget_is_another_run(tmp_path):
    grid(tmp_path, CELLS[:1])
    _, said = grid(tmp_path, CELLS[:1], Training(max_steps=1, batch_size=3, held_out=5, hidden_size=5))
    assert "done before" not in said
    assert len(read_records(tmp_path / "results.jsonl")) == 2


def test_a_folder_is_added_to(tmp_path):
    grid(tmp_path, [Cell("rnn", "parity", length, 0) for length in (7, 3)])
    longer = Training(max_steps=3, batch_size=3, evaluate_every=1, held_out=5, hidden_size=5)
    cells = [Cell("gru", "adding", 5, 1), Cell("gru", "parity", 3, 0), Cell("rnn", "parity", 3, 0)]
    grid(tmp_path, cells, longer)

    def shown(training):
        records = json.loads(json.dumps(folder_records(tmp_path, training)))
        return [(spec_name(r["task"]), r["encoder"], r["length"], r["training"]["max_steps"]) for r in records]

    assert len(read_records(tmp_path / "results.jsonl")) == 5
    rest = [("parity", "rnn", 7, 2), ("adding", "gru", 5, 3)]
    assert shown(longer) == [("parity", "rnn", 3, 3), ("parity", "gru", 3, 3), *rest]
    assert shown(QUICK) == [("parity", "rnn", 3, 2), ("parity", "gru", 3, 3), *rest]
    pytest.importorskip("matplotlib")
    text = write_memory_report(folder_records(tmp_path, longer), tmp_path)[0].read_text()
    assert "parity (rnn, gru); adding (gru): Each encoder (5 features where it says nothing else)" in text
    assert "parity (rnn): Each encoder" in text
    assert "2 steps of 3 examples at the most" in text


def test_damaged_records_are_told_of(tmp_path):
    (tmp_path / "results.jsonl").write_text("nonsense\n{}\n")
    with pytest.raises(DataError, match=r"results.jsonl:1: expected a record of a run, got 'nonsense'"):
        grid(tmp_path)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (Cell("lsmt", "parity", 3, 0), "unknown encoder 'lsmt'.*did you mean 'lstm'"),
        (Cell("lstm", "partiy", 3, 0), "unknown memory task 'partiy'.*did you mean 'parity'"),
        (Cell("lstm", "parity", 0, 0), "'parity' needs a length of at least 1 steps, got 0"),
        (Cell({"name": "lstm", "bidirectional": True}, "parity", 3, 0), "reads the future"),
    ],
)
def test_mistakes_are_found_before_anything_is_run(tmp_path, cell, message):
    with pytest.raises(ConfigurationError, match=message):
        grid(tmp_path, [*CELLS, cell])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"initialization": "crono"}, "initialization must be default or chrono, got 'crono'"),
    ],
)
def test_refuses_options_out_of_range(option, message):
    with pytest.raises(ConfigurationError, match=message):
        Training(**option)


def record(encoder, length, seed, solved):
    return {
        "encoder": encoder,
        "task": "parity",
        "length": length,
        "seed": seed,
        "solved": solved,
        "steps": 10 * length,
    }


def test_solved_is_what_most_seeds_solve():
    records = [
        *(record("lstm", 10, seed, solved) for seed, solved in enumerate((True, True, False))),
        *(record("lstm", 20, seed, solved) for seed, solved in enumerate((True, False, False))),
        record({"name": "rnn", "num_layers": 2}, 10, 0, False),
    ]
    assert solved_length(records) == {("parity", "lstm"): 10, ("parity", "rnn(num_layers=2)"): 0}
    table = memory_table([{**each, "best": 0.5, "chance": 0.5, "seconds": 1.0} for each in records])
    assert "| parity | lstm              | 10     | 2 of 3 | 100 " in table
    assert "| parity | lstm              | 20     | 1 of 3 | 200 " in table
    assert "| no     | > 100 " in table


def test_specs_have_short_names():
    assert spec_name("lstm") == "lstm"
    assert spec_name({"name": "stacked", "layers": ["gru", {"name": "rnn", "hidden_size": 5}]}) == (
        "stacked(layers=gru+rnn(hidden_size=5))"
    )


def test_the_report_has_figures(tmp_path):
    pytest.importorskip("matplotlib")
    records, _ = grid(tmp_path, [*CELLS, Cell("gru", "adding", 5, 0)])
    written = write_memory_report(records, tmp_path / "deep" / "report")
    assert [path.name for path in written] == ["memory.md", "memory.json", "solved_length.png", "learning_curves.png"]
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG") is (path.suffix == ".png")
    text = written[0].read_text()
    assert "- adding: mean squared error, solved at 0.01" in text
    assert "](solved_length.png)" in text
    assert json.loads(written[1].read_text()) == json.loads(json.dumps(records))


def test_the_report_says_at_which_length_a_task_is_solved_where(tmp_path):
    pytest.importorskip("matplotlib")
    records, _ = grid(
        tmp_path, [Cell("rnn", task, length, 0) for task in ("adding", "copy_memory") for length in (5, 7)]
    )
    text = write_memory_report(records, tmp_path)[0].read_text()
    first, second = (record["bound"] for record in records if record["task"] == "copy_memory")
    assert f"copy_memory: cross-entropy (nats), solved at {first:.4g} (length 5), {second:.4g} (length 7)" in text
    assert "- adding: mean squared error, solved at 0.01\n" in text


def test_a_terminal_sees_a_bar():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen, pipe = Terminal(), io.StringIO()
    for stream in (screen, pipe):
        progress = Progress(stream)
        progress.watch("gru on parity", 8)(2, 0.5)
        progress.line("done")
    assert "gru on parity [######------------------] 2/8 steps, score 0.5" in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[Kdone\n")
    assert pipe.getvalue() == "done\n"
