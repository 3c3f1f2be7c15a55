"""Times a language model's training step with the chunked linear cross entropy beside the usual one.

    python scripts/benchmark_softmax.py                 # some minutes on two idle cores
    python scripts/benchmark_softmax.py --rounds 9      # more certain

The model is two LSTM layers of 200 whose softmax is tied to the embedding; a step reads 20 rows of 35 tokens, forward
and backward. `usual` makes all logits and calls torch's cross entropy. Each comparison runs its variants in turn, round
after round, in one process, because a shared machine drifts: trust the ratios, not the milliseconds. Another program on
the same cores spoils the ratios too. The growth of the memory is measured in a process of its own for each variant: the
peak of three steps, less what the process held before them; the gradients of the parameters are in it.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from seqmodels.linear_cross_entropy import linear_cross_entropy, rows_of_chunk

BATCH, TIME, HIDDEN_SIZE = 20, 35, 200
VOCAB_SIZES = (10_000, 33_278)
PRECISIONS = ("highest", "medium")
USUAL = "usual highest"


def usual_loss(outputs: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean cross entropy by way of all logits."""
    return nn.functional.cross_entropy(nn.functional.linear(outputs, weight, bias), targets)


LOSSES = {"usual": usual_loss, "ours": linear_cross_entropy}


def make_step(loss: str, vocab_size: int) -> Callable[[], Tensor]:
    """Returns a function that runs one training step, without the optimiser's, and returns the loss."""
    torch.manual_seed(0)
    embedding = nn.Embedding(vocab_size, HIDDEN_SIZE)
    nn.init.uniform_(embedding.weight, -0.1, 0.1)
    bias = nn.Parameter(torch.zeros(vocab_size))
    lstm = nn.LSTM(HIDDEN_SIZE, HIDDEN_SIZE, num_layers=2, batch_first=True)
    ids = torch.randint(vocab_size, (BATCH, TIME + 1))
    parameters = [embedding.weight, bias, *lstm.parameters()]

    def step() -> Tensor:
        for parameter in parameters:
            parameter.grad = None
        outputs, _ = lstm(embedding(ids[:, :-1]))  # (batch, time, hidden)
        mean = LOSSES[loss](outputs.flatten(0, 1), embedding.weight, bias, ids[:, 1:].flatten())
        mean.backward()
        return mean.detach()

    return step


def measure_times(vocab_size: int, rounds: int) -> dict[str, list[float]]:
    """Returns the milliseconds of each variant's step in each round; two rounds before are not counted."""
    steps = {loss: make_step(loss, vocab_size) for loss in LOSSES}
    times: dict[str, list[float]] = {f"{loss} {precision}": [] for precision in PRECISIONS for loss in LOSSES}
    for number in range(rounds + 2):
        for name, values in times.items():
            loss, precision = name.split()
            torch.set_float32_matmul_precision(precision)
            start = time.perf_counter()
            steps[loss]()
            if number > 1:
                values.append(1000 * (time.perf_counter() - start))
    return times


def resident(name: str) -> float:
    """Returns a line of this process's memory status, `VmRSS` now or `VmHWM` at its peak, in MiB; needs Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def print_growth(name: str, vocab_size: int) -> None:
    """Prints by how many MiB three steps of a variant raise the peak of this process's memory."""
    loss, precision = name.split()
    torch.set_float32_matmul_precision(precision)
    step = make_step(loss, vocab_size)
    before = resident("VmRSS")
    for _ in range(3):
        step()
    print(resident("VmHWM") - before)


def measure_growth(name: str, vocab_size: int, threads: int) -> float:
    """Returns what `print_growth` prints in a process of its own."""
    command = [sys.executable, __file__, "--growth", name, "--vocab_sizes", str(vocab_size), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def describe(name: str, times: dict[str, list[float]], growth: float) -> str:
    """Returns a line: a variant's median and range, its ratio to the usual form and the ratios' range, its memory."""
    values, usual = times[name], times[USUAL]
    ratios = [one / other for one, other in zip(values, usual, strict=True)]
    median = statistics.median(values)
    return (
        f"    {name}: {median:.1f} ms ({min(values):.1f} to {max(values):.1f}), {BATCH * TIME / median:.1f}k tokens/s; "
        f"/ {USUAL}: {median / statistics.median(usual):.2f} (rounds {min(ratios):.2f} to {max(ratios):.2f}); "
        f"peak memory +{growth:.0f} MiB"
    )


def processor() -> str:
    """Returns the name of the processor."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocab_sizes", type=int, nargs="+", default=VOCAB_SIZES)
    parser.add_argument("--growth", help="print the growth of the memory of this one variant, in MiB, and no more")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.growth:
        print_growth(options.growth, options.vocab_sizes[0])
        return
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {options.rounds} rounds")
    for vocab_size in options.vocab_sizes:
        chunk = rows_of_chunk(BATCH * TIME, vocab_size, "cpu")
        print(f"vocabulary of {vocab_size}, {BATCH * TIME} items, chunks of {chunk}")
        times = measure_times(vocab_size, options.rounds)
        for name in times:
            print(describe(name, times, measure_growth(name, vocab_size, options.threads)))


if __name__ == "__main__":
    main()
