"""One encoder against one memory task: trained until it is solved or the budget is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from seqmodels.diagnostics.gates import initialize_chrono
from seqmodels.diagnostics.memory_tasks import Examples, MemoryTask
from seqmodels.encoders import Encoder, EncoderSpec, create_encoder, encoder_registry
from seqmodels.errors import ConfigurationError

Initialization = Literal["default", "chrono"]


@dataclass(frozen=True)
class Training:
    """How an encoder is trained on a memory task.

    Args:
        max_steps: training steps at the most.
        max_seconds: seconds at the most, evaluation included; None for no limit. A record that ran into it depends on
            the machine.
        batch_size: examples a step.
        learning_rate: of Adam; with 5e-3 and 32 features an LSTM and a GRU solve adding at 400 in under 1,000 steps.
        clip: norm that the gradient is clipped to; 1 as usual for these tasks.
        evaluate_every: training steps between evaluations.
        held_out: fresh examples of each evaluation.
        hidden_size: features of h, for encoders whose spec is silent about it.
        initialization: "chrono" spreads the memories of gated encoders over the steps of the task, save where a spec
            sets `forget_bias`; "default" leaves each encoder as it is made.

    Raises:
        ConfigurationError: a number is out of range.
    """

    max_steps: int = 10_000
    max_seconds: float | None = None
    batch_size: int = 50
    learning_rate: float = 5e-3
    clip: float = 1.0
    evaluate_every: int = 100
    held_out: int = 500
    hidden_size: int = 32
    initialization: Initialization = "chrono"

    def __post_init__(self) -> None:
        for name in ("max_steps", "batch_size", "evaluate_every", "held_out", "hidden_size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("max_seconds", "learning_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} must be above 0, got {value}")
        if self.initialization not in ("default", "chrono"):
            raise ConfigurationError(f"initialization must be default or chrono, got {self.initialization!r}")


@dataclass(frozen=True)
class Solution:
    """What came of it.

    Attributes:
        solved: whether an evaluation reached the task's bound.
        steps: training steps taken; where solved, those it took.
        seconds: wall-clock time, evaluation included.
        best: the best score of all evaluations.
        last: the score of the last evaluation.
        chance: the task's chance level, in the same unit.
        bound: the score that counts as solved.
        measure: what the scores are.
        parameters: trained numbers, the head's included.
        chrono: whether the gates were initialised for the task's length.
        curve: (step, score) of each evaluation.
    """

    solved: bool
    steps: int
    seconds: float
    best: float
    last: float
    chance: float
    bound: float
    measure: str
    parameters: int
    chrono: bool
    curve: list[tuple[int, float]]


class Solver(nn.Module):
    """An encoder and a linear map of its outputs to a task's answers.

    Args:
        spec: the encoder.
        task: the task; its sizes are the network's.
        training: for the size and the initialisation.
        seed: of the weights.

    Raises:
        ConfigurationError: the encoder is not known, or it reads the future.
    """

    def __init__(self, spec: EncoderSpec, task: MemoryTask, training: Training, seed: int) -> None:
        super().__init__()
        spec = encoder_registry.with_argument(spec, "hidden_size", training.hidden_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = create_encoder(spec, task.input_size)
            self.head = nn.Linear(self.encoder.output_size, task.output_size)
        check_causal(self.encoder)
        silent = isinstance(spec, str) or "forget_bias" not in spec
        self.chrono = (
            training.initialization == "chrono"
            and silent
            and initialize_chrono(spec, self.encoder, max(task.steps, 3), Generator().manual_seed(seed))
        )

    def forward(self, examples: Examples) -> Tensor:
        """Returns the predictions (scored, output_size) of the steps that are scored."""
        outputs, _ = self.encoder(examples.inputs, examples.lengths)
        return self.head(outputs[examples.mask])  # type: ignore[no-any-return]


def check_causal(encoder: Encoder) -> None:
    """Checks that an encoder carries what it has read in a state.

    Raises:
        ConfigurationError: it reads the future.
    """
    if not encoder.causal:
        raise ConfigurationError(
            f"{encoder.future_reader()} reads the future, so it need not remember anything; "
            f"choose a causal encoder, such as lstm with bidirectional: false"
        )


def solve(
    spec: EncoderSpec,
    task: MemoryTask,
    training: Training,
    *,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> tuple[Solution, Solver]:
    """Trains an encoder on a task until an evaluation reaches the bound or the budget is spent.

    Args:
        spec: the encoder.
        task: the task.
        training: how.
        seed: of weights and examples; the held-out examples are drawn apart from those of training.
        report: is told the step and the score after each evaluation.

    Returns:
        What came of it, and the network as it was left.

    Raises:
        ConfigurationError: the encoder is not known, or it reads the future.
    """
    begin = time.perf_counter()
    solver = Solver(spec, task, training, seed)
    optimizer = torch.optim.Adam(solver.parameters(), lr=training.learning_rate)
    drawn, held_out = Generator().manual_seed(2 * seed + 1), Generator().manual_seed(2 * seed + 2)
    curve: list[tuple[int, float]] = []
    solved, step = False, 0
    while step < training.max_steps and not solved and not _is_late(training, begin):
        finite = _train_step(solver, optimizer, task, task.sample(training.batch_size, drawn), training.clip)
        step += 1
        if step % training.evaluate_every == 0 or step == training.max_steps or _is_late(training, begin):
            score = evaluate(solver, task, training, held_out)
            curve.append((step, score))
            solved = task.is_solved(score)
            if report is not None:
                report(step, score)
        if not finite:
            break
    scores = [score for _, score in curve if not math.isnan(score)]
    best = (max if task.measure.higher_is_better else min)(scores, default=math.nan)
    solution = Solution(
        solved=solved,
        steps=step,
        seconds=round(time.perf_counter() - begin, 2),
        best=best,
        last=curve[-1][1] if curve else math.nan,
        chance=task.chance,
        bound=task.bound,
        measure=task.measure.name,
        parameters=sum(parameter.numel() for parameter in solver.parameters()),
        chrono=solver.chrono,
        curve=curve,
    )
    return solution, solver


def evaluate(solver: Solver, task: MemoryTask, training: Training, generator: Generator) -> float:
    """Returns the mean score on fresh examples, as many as `held_out` says."""
    solver.eval()
    total, remaining = 0.0, training.held_out
    with torch.no_grad():
        while remaining:
            size = min(remaining, 4 * training.batch_size)
            examples = task.sample(size, generator)
            total += size * float(task.measure.score(solver(examples), examples.targets[examples.mask]))
            remaining -= size
    solver.train()
    return total / training.held_out


def _train_step(
    solver: Solver, optimizer: torch.optim.Optimizer, task: MemoryTask, examples: Examples, clip: float
) -> bool:
    """Takes a step of the optimiser and tells whether the gradient was finite; if not, the weights stay."""
    optimizer.zero_grad()
    task.measure.loss(solver(examples), examples.targets[examples.mask]).backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(solver.parameters(), clip)
    finite = bool(norm.isfinite())
    if finite:
        optimizer.step()
    return finite


def _is_late(training: Training, begin: float) -> bool:
    return training.max_seconds is not None and time.perf_counter() - begin >= training.max_seconds
