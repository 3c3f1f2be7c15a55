"""The memory tasks: answers recomputed in plain Python, chance levels measured, seeds and errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from seqmodels.diagnostics.memory_tasks import Examples, MemoryTask, memory_task_registry
from seqmodels.errors import ConfigurationError

SPECS = [
    "adding",
    "associative_recall",
    {"name": "associative_recall", "pairs": 7},
    "copy_memory",
    "delayed_recall",
    {"name": "delayed_recall", "symbols": 3},
    "long_lag",
    {"name": "long_lag", "noisy": True},
    "nested_brackets",
    {"name": "nested_brackets", "kinds": 3, "depth": 2},
    {"name": "nested_brackets", "kinds": 1},
    "parity",
    "selective_copy",
    {"name": "selective_copy", "copied": 3},
    "temporal_order",
    {"name": "temporal_order", "symbols": 3},
    {"name": "temporal_order", "symbols": 4},
]
LENGTH = 23


def sample(spec, length=LENGTH, rows=11, seed=0) -> tuple[MemoryTask, Examples]:
    task = memory_task_registry.create(spec, length)
    return task, task.sample(rows, Generator().manual_seed(seed))


def rows_of(examples: Examples):
    """Yields, for each row, its steps (as symbols where they are one-hot) and its scored targets."""
    for inputs, targets, mask in zip(examples.inputs, examples.targets, examples.mask, strict=True):
        yield inputs.tolist(), targets[mask].tolist()


def symbols_of(steps: list[list[float]]) -> list[int]:
    assert all(sorted(set(step)) == [0.0, 1.0] and sum(step) == 1 for step in steps)
    return [step.index(1.0) for step in steps]


def test_every_task_is_tested():
    assert {spec if isinstance(spec, str) else spec["name"] for spec in SPECS} == set(memory_task_registry.names())


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_shapes_are_as_published(spec):
    task, examples = sample(spec)
    assert examples.inputs.shape == (11, task.steps, task.input_size)
    assert examples.inputs.dtype == torch.float32
    assert examples.lengths.tolist() == [task.steps] * 11
    assert examples.targets.shape == examples.mask.shape == (11, task.steps)
    assert examples.mask.any(1).all()
    assert not examples.targets[~examples.mask].any()
    if examples.targets.dtype == torch.int64:
        assert 0 <= int(examples.targets.min()) <= int(examples.targets.max()) < task.output_size


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_seed_decides(spec):
    first, again, other = (sample(spec, seed=seed)[1] for seed in (5, 5, 6))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first.inputs, other.inputs)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_chance_is_what_the_best_constant_reaches(spec):
    task, examples = sample(spec, rows=20_011)
    targets = examples.targets[examples.mask]
    if task.measure.name == "mean squared error":
        measured = float((targets - targets.mean()).square().mean())
    elif task.measure.higher_is_better:
        chosen, judged = targets[: len(targets) // 2], targets[len(targets) // 2 :]
        measured = float((judged == chosen.bincount().argmax()).float().mean())
    else:  # by step: blanks are certain, symbols are drawn
        by_step = examples.targets.T
        shares = [step.bincount().float() / len(step) for step in by_step]
        measured = sum(float(-(share * share.clamp(min=1e-9).log()).sum()) for share in shares) / len(shares)
    assert measured == pytest.approx(task.chance, rel=0.1)
    assert not task.is_solved(task.chance)
    assert task.is_solved(task.bound)


def test_adding_adds_what_is_marked():
    for length in (2, 3, LENGTH):
        _, examples = sample("adding", length)
        for steps, answers in rows_of(examples):
            marked = [place for place, (_, mark) in enumerate(steps) if mark]
            assert len(marked) == 2
            assert marked[0] < length // 2 <= marked[1]
            assert answers == pytest.approx([sum(steps[place][0] for place in marked)])


def test_chance_of_adding_and_copying_is_that_of_the_literature():
    assert sample("adding", 400)[0].chance == pytest.approx(2 / 12)
    assert sample("copy_memory", 100)[0].chance == pytest.approx(10 * math.log(8) / 120)


def test_copies_come_after_the_delimiter():
    _, examples = sample("copy_memory")
    for steps, answers in rows_of(examples):
        symbols = symbols_of(steps)
        assert max(symbols[:10]) < 8
        assert symbols[10:] == [8] * (LENGTH - 1) + [9] + [8] * 10
        assert answers == [8] * (LENGTH + 10) + symbols[:10]


@pytest.mark.parametrize("length", [10, 11, LENGTH, 100])
@pytest.mark.parametrize("symbols", [2, 3, 4])
def test_temporal_order_reads_off_x_and_y(symbols, length):
    task, examples = sample({"name": "temporal_order", "symbols": symbols}, length)
    tenths = {2: (1, 5), 3: (1, 3, 6), 4: (1, 3, 5, 7)}[symbols]
    for steps, answers in rows_of(examples):
        read = "".join("abcdXYEB"[symbol] for symbol in symbols_of(steps))
        assert read[0] == "E"
        assert read[-1] == "B"
        places = [place for place, symbol in enumerate(read) if symbol in "XY"]
        assert len(places) == symbols
        for place, tenth in zip(places, tenths, strict=True):
            assert tenth * length // 10 <= place < (tenth + 1) * length // 10
        assert answers == [int("".join(str("XY".index(read[place])) for place in places), 2)]
    assert task.output_size == 2**symbols


@pytest.mark.parametrize("noisy", [False, True])
def test_long_lag_asks_for_the_first_symbol(noisy):
    _, examples = sample({"name": "long_lag", "noisy": noisy})
    for steps, answers in rows_of(examples):
        first, *between = symbols_of(steps)
        assert (between == list(range(LENGTH - 1))) is not noisy
        assert max(between) < LENGTH - 1
        assert answers == [first - (LENGTH - 1)]


def test_delayed_recall_asks_for_the_early_symbol():
    _, examples = sample("delayed_recall", 50)
    for steps, answers in rows_of(examples):
        symbols = symbols_of(steps)
        shown = [place for place, symbol in enumerate(symbols) if symbol < 8]
        assert len(shown) == 1
        assert shown[0] < 5
        assert symbols[-1] == 9
        assert answers == [symbols[shown[0]]]


def test_associative_recall_looks_up_the_key():
    for length in (9, LENGTH):
        _, examples = sample("associative_recall", length)
        for steps, answers in rows_of(examples):
            *shown, question = [step[:-1] for step in steps]
            assert [step[-1] for step in steps] == [0] * (length - 1) + [1]
            symbols = symbols_of(shown)
            pairs = dict(zip(symbols[0:8:2], symbols[1:8:2], strict=True))
            assert len(pairs) == 4
            assert symbols[8:] == [16] * (length - 9)
            assert answers == [pairs[question.index(1)] - 8]


def test_selective_copy_leaves_out_the_blanks():
    for length in (10, LENGTH):
        _, examples = sample("selective_copy", length)
        for steps, answers in rows_of(examples):
            symbols = symbols_of(steps)
            assert symbols[length:] == [9] * 10
            assert answers == [symbol for symbol in symbols[:length] if symbol != 8]


def test_parity_counts_ones():
    _, examples = sample("parity")
    for steps, answers in rows_of(examples):
        bits = symbols_of(steps)
        assert answers == [sum(bits[: place + 1]) % 2 for place in range(LENGTH)]


@pytest.mark.parametrize(("kinds", "depth"), [(1, 1), (2, 4), (3, 2)])
def test_brackets_nest(kinds, depth):
    _, examples = sample({"name": "nested_brackets", "kinds": kinds, "depth": depth}, rows=31)
    deepest = 0
    for steps, answers in rows_of(examples):
        stack: list[int] = []
        for symbol, answer in zip(symbols_of(steps), answers, strict=True):
            if symbol < kinds:
                stack.append(symbol)
            else:
                assert stack.pop() == symbol - kinds
            deepest = max(deepest, len(stack))
            assert answer == (stack[-1] if stack else kinds)
    assert deepest == depth


@pytest.mark.parametrize(
    ("spec", "least"),
    [
        ("adding", 2),
        ("associative_recall", 9),
        ("copy_memory", 1),
        ("delayed_recall", 2),
        ("long_lag", 2),
        ("nested_brackets", 1),
        ("parity", 1),
        ("selective_copy", 10),
        ("temporal_order", 10),
    ],
)
def test_refuses_lengths_that_make_no_sense(spec, least):
    sample(spec, least)
    for length in (least - 1, 0, -20):
        with pytest.raises(
            ConfigurationError, match=f"'{spec}' needs a length of at least {least} steps, got {length}"
        ):
            sample(spec, length)


def test_refuses_counts_out_of_range():
    with pytest.raises(ConfigurationError, match="symbols must be a whole number from 2 to 4, got 5"):
        sample({"name": "temporal_order", "symbols": 5})
    with pytest.raises(ConfigurationError, match="did you mean 'temporal_order'"):
        sample("temporal_oder")
