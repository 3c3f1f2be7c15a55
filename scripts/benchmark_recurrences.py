"""Times a training step of the parallel recurrences beside torch's GRU; `benchmark_lengths.py` shows how it grows.

    python scripts/benchmark_recurrences.py                  # the ratios to nn.GRU: about five minutes on one idle core
    python scripts/benchmark_recurrences.py --encoders mingru sru --steps 512
    python scripts/benchmark_recurrences.py --device cuda --kernel      # the scan beside one elementwise pass

A step is forward and backward of 8 rows with 256 features in and out. The encoders compared run in turn, round after
round, in one process, because a shared machine drifts: trust the ratios, not the milliseconds.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqmodels.encoders import create_encoder
from seqmodels.encoders.scans.linear_scan import scan

BATCH, SIZE = 8, 256
ENCODERS = ("mingru", "minlstm", "qrnn", "sru", "rglru", "mlstm", "slstm", "s6")
STEPS = (512, 2048, 8192)
GRU_TARGETS = {512: 0.35, 2048: 0.35, 8192: 0.45}  # of minGRU's time to nn.GRU's
MINGRU_TARGETS = {"minlstm": 2.0, "qrnn": 2.0, "sru": 2.0, "rglru": 2.0}  # of an encoder's time to minGRU's
KERNEL_TARGET = 1.5  # of the scan's time to that of one elementwise pass


def training_step(name: str, batch: int, steps: int, device: str) -> Callable[[], None]:
    """Returns a function that runs one encoder forward and backward; `nn.GRU` is torch's."""
    inputs = torch.randn(batch, steps, SIZE, device=device, requires_grad=True)
    lengths = torch.full((batch,), steps, device=device)
    if name == "nn.GRU":
        module = nn.GRU(SIZE, SIZE, batch_first=True).to(device)
        return lambda: module(inputs)[0].sum().backward()
    encoder = create_encoder({"name": name, "hidden_size": SIZE}, SIZE).to(device)
    return lambda: encoder(inputs, lengths)[0].sum().backward()


def timed(run: Callable[[], object], device: str) -> float:
    """Returns the milliseconds that `run` takes."""
    start = time.perf_counter()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def measure(runs: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Returns the median milliseconds of each; one round before is not counted."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            took = timed(run, device)
            if number > 0:
                times[name].append(took)
    return {name: statistics.median(values) for name, values in times.items()}


def verdict(ratio: float, target: float | None) -> str:
    """Returns what a ratio is beside its target, if it has one."""
    if target is None:
        return ""
    return f"; target at most {target:.2f}: {'reached' if ratio <= target else 'MISSED'}"


def compare(names: list[str], steps: int, rounds: int, device: str) -> None:
    """Prints the times of the encoders, and their ratios to nn.GRU and to minGRU."""
    runs = {name: training_step(name, BATCH, steps, device) for name in ("nn.GRU", *names)}
    times = measure(runs, rounds, device)
    gru = times["nn.GRU"]
    print(f"{BATCH} rows of {steps} steps, {SIZE} features: nn.GRU {gru:.1f} ms")
    for name in names:
        ratio = times[name] / gru
        line = f"    {name}: {times[name]:.1f} ms, {ratio:.2f} of nn.GRU"
        if name == "mingru":
            line += verdict(ratio, GRU_TARGETS.get(steps))
        elif "mingru" in times:
            ratio = times[name] / times["mingru"]
            line += f", {ratio:.2f} of mingru{verdict(ratio, MINGRU_TARGETS.get(name))}"
        print(line, flush=True)


def measure_kernel(steps: int, rounds: int, device: str) -> None:
    """Prints the time of the scan alone beside that of one multiplication of the same tensors."""
    decay, values = torch.rand(2, BATCH, steps, SIZE, device=device)
    initial, out = torch.zeros(BATCH, SIZE, device=device), torch.empty_like(values)
    passes: dict[str, Callable[[], Tensor]] = {
        "pass": lambda: torch.mul(decay, values, out=out),
        "scan": lambda: scan(decay, values, initial, out=out),
    }
    times = measure(passes, max(rounds, 20), device)
    ratio = times["scan"] / times["pass"]
    target = None if device == "cpu" else KERNEL_TARGET
    print(f"{steps} steps: scan {times['scan']:.3f} ms, {ratio:.2f} of one pass{verdict(ratio, target)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=ENCODERS)
    parser.add_argument("--steps", nargs="+", type=int, default=list(STEPS))
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each comparison")
    parser.add_argument("--kernel", action="store_true", help="measure the scan alone instead")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    for steps in options.steps:
        if steps < 1:
            parser.error(f"--steps must be at least 1, got {steps}")
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    torch.manual_seed(0)
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for steps in options.steps:
        if options.kernel:
            measure_kernel(steps, options.rounds, options.device)
        else:
            compare(options.encoders, steps, options.rounds, options.device)


if __name__ == "__main__":
    main()
