"""How far gradients reach: the norm of dL/ds_t by the distance of step t from the loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from seqmodels.diagnostics.figures import markdown_table, new_figure, save_figure, style
from seqmodels.diagnostics.memory_grid import spec_name
from seqmodels.diagnostics.memory_tasks import MemoryTask
from seqmodels.diagnostics.solve import Solver, Training, solve
from seqmodels.diagnostics.state_gradients import state_gradient_norms
from seqmodels.encoders import Encoder, EncoderSpec
from seqmodels.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# How parameters that map the state to the next one are called: in torch's networks, in our cells.
RECURRENT_WEIGHTS = ("weight_hh_", "from_state.weight", "from_reset_state.weight")
HOLDS = 1e-2
EXPLODES = 1e2


@dataclass(frozen=True)
class Flow:
    """The gradients of one encoder.

    Attributes:
        encoder: its spec as a short name.
        condition: "at initialisation", "recurrent weights x 3", "trained, 100 steps".
        distances: steps from the state to the loss at the end, ascending.
        norms: the mean over rows of ||dL_row/ds_t|| at each distance.
    """

    encoder: str
    condition: str
    distances: list[int]
    norms: list[float]

    @property
    def relative(self) -> list[float]:
        """The norms as multiples of that nearest to the loss."""
        nearest = self.norms[0] if self.norms and self.norms[0] > 0 else 1.0
        return [norm / nearest for norm in self.norms]

    @property
    def verdict(self) -> str:
        """What became of the gradient at the farthest step: vanishes, holds or explodes."""
        farthest = self.relative[-1]
        if farthest != farthest or farthest > EXPLODES:
            return "explodes"
        return "vanishes" if farthest < HOLDS else "holds"

    def reach(self) -> int:
        """Returns the greatest distance up to which the gradient stays above a hundredth of the nearest one."""
        reached = 0
        for distance, norm in zip(self.distances, self.relative, strict=True):
            if not norm >= HOLDS:
                break
            reached = distance
        return reached


def gradient_norms(
    solver: Solver, task: MemoryTask, *, rows: int, chunk: int, generator: Generator
) -> tuple[list[int], list[float]]:
    """Computes ||dL/ds_t|| of the loss at the last step, for the states s_t that a network carries from step to step.

    s_t is the whole carried state (h of a plain network or a GRU, h and c of an LSTM), so dL/ds_t is the total
    derivative through all later steps.

    Args:
        solver: an encoder with its head.
        task: gives the inputs and the loss; of a task that scores several steps the last alone counts.
        rows: examples to average over.
        chunk: every how many steps; 1 for each.
        generator: draws the examples.

    Returns:
        The distances from the last step, ascending, and the mean over the examples of the norms.

    Raises:
        ConfigurationError: the encoder reads the future, or a number is not positive.
    """
    examples = task.sample(rows, generator)

    def loss_of(outputs: Tensor) -> Tensor:
        return rows * task.measure.loss(solver.head(outputs[:, -1]), examples.targets[:, -1])  # each row's own

    norms = state_gradient_norms(solver.encoder, examples.inputs, examples.lengths, loss_of, chunk=chunk)
    return [task.steps - step for step, _ in reversed(norms)], [float(norm.mean()) for _, norm in reversed(norms)]


def scale_recurrent_weights(encoder: Encoder, factor: float) -> bool:
    """Multiplies the weights from state to state, where the encoder has such matrices; returns whether it has."""
    found = False
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if any(part in name for part in RECURRENT_WEIGHTS):
                parameter.mul_(factor)
                found = True
    return found


@dataclass(frozen=True)
class FlowOptions:
    """What is measured.

    Args:
        scale: factor of the recurrent weights in the panel of scaled weights; 1 leaves the panel out.
        train_steps: training steps before the last panel; 0 leaves it out.
        rows: examples that the norms are the mean over.
        chunk: every how many steps a state is looked at.
        seed: of weights and examples.

    Raises:
        ConfigurationError: a number is out of range.
    """

    scale: float = 3.0
    train_steps: int = 300
    rows: int = 20
    chunk: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("train_steps", 0), ("rows", 1), ("chunk", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.scale > 0:
            raise ConfigurationError(f"scale must be above 0, got {self.scale}")


def measure_flows(
    encoders: Sequence[EncoderSpec], task: MemoryTask, training: Training, options: FlowOptions
) -> list[Flow]:
    """Measures each encoder at initialisation, with recurrent weights scaled up where it has some, and trained.

    Raises:
        ConfigurationError: an encoder is unknown or reads the future.
    """
    flows = []
    for spec in encoders:

        def measure(solver: Solver, condition: str, name: str = spec_name(spec)) -> Flow:
            drawn = Generator().manual_seed(options.seed + 1)
            found = gradient_norms(solver, task, rows=options.rows, chunk=options.chunk, generator=drawn)
            return Flow(name, condition, *found)

        flows.append(measure(Solver(spec, task, training, options.seed), "at initialisation"))
        scaled = Solver(spec, task, training, options.seed)
        if options.scale != 1 and scale_recurrent_weights(scaled.encoder, options.scale):
            flows.append(measure(scaled, f"recurrent weights x {options.scale:g}"))
        if options.train_steps:
            budget = replace(training, max_steps=options.train_steps)
            _, solver = solve(spec, task, budget, seed=options.seed)
            flows.append(measure(solver, f"trained, at most {options.train_steps} steps"))
    return flows


def plot_flows(flows: Sequence[Flow], task_name: str) -> Figure:
    """Draws the norms by distance on one page, a panel for each condition, all with one logarithmic axis.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    conditions = list(dict.fromkeys(flow.condition for flow in flows))
    encoders = list(dict.fromkeys(flow.encoder for flow in flows))
    figure, panels = new_figure(len(conditions), width=4.2, height=3.9)
    for panel, condition in zip(panels, conditions, strict=True):
        for flow in flows:
            if flow.condition == condition:
                # float32 has no smaller numbers: what is drawn below it is 0
                values = [max(value, 1e-38) for value in flow.relative]
                marks = max(1, len(values) // 8)
                panel.plot(
                    flow.distances,
                    values,
                    label=flow.encoder,
                    markevery=marks,
                    **style(encoders.index(flow.encoder)),
                )
        panel.set_yscale("log")
        panel.axhline(1, color="0.3", linewidth=0.8)
        panel.set_title(condition, fontsize=10)
        panel.set_xlabel("distance from the loss (steps)")
    lowest = min((value for flow in flows for value in flow.relative if value > 0), default=1.0)
    highest = max((value for flow in flows for value in flow.relative if value < float("inf")), default=1.0)
    for panel in panels:
        panel.set_ylim(max(lowest / 3, 1e-20), max(highest * 3, 10))
    panels[0].set_ylabel("norm of dL/ds, relative to the nearest step")
    labelled = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        labelled.values(),
        labelled.keys(),
        loc="outside lower center",
        ncols=min(5, len(labelled)),
        fontsize=9,
        frameon=False,
        handlelength=3.5,
    )
    figure.suptitle(f"Gradient of the loss after the last step ({task_name})", fontsize=11)
    return figure


def write_flow_report(
    flows: Sequence[Flow], spec: str, task: MemoryTask, training: Training, options: FlowOptions, folder: Path
) -> list[Path]:
    """Writes `gradient_flow.md`, `gradient_flow.json` and `gradient_flow.png`; returns their paths.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    figure = save_figure(plot_flows(flows, f"{spec}, {task.steps} steps"), folder / "gradient_flow.png")
    rows = [
        (flow.condition, flow.encoder, f"{flow.norms[0]:.2e}", f"{flow.relative[-1]:.1e}", flow.reach(), flow.verdict)
        for flow in flows
    ]
    header = (
        "condition",
        "encoder",
        "nearest norm",
        f"at {flows[0].distances[-1]} steps, relative",
        "reach (steps)",
        "it",
    )
    report, data = folder / "gradient_flow.md", folder / "gradient_flow.json"
    report.write_text(
        "# How far gradients reach\n\n"
        f"The norm of dL/ds_t, where s_t is the state that the encoder carries and L the loss after the last of "
        f"{task.steps} steps of {spec}; mean over {options.rows} examples, {training.hidden_size} features where an "
        f"encoder says nothing else, initialisation of gates: {training.initialization}, seed {options.seed}. An "
        f"encoder without weights from state to state is not in the rows of scaled ones. The reach is the distance up "
        f"to which the gradient stays above 1% of the nearest one.\n\n"
        f"{markdown_table(header, rows)}\n\n"
        "![The norm of the gradient by distance](gradient_flow.png)\n",
        encoding="utf-8",
    )
    data.write_text(json.dumps([asdict(flow) for flow in flows], indent=1), encoding="utf-8")
    return [report, data, figure]
