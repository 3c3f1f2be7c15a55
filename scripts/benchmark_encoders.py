"""Times a training step (forward and backward) of the encoders beside torch's own modules, and prints the ratios.

    python scripts/benchmark_encoders.py                # a few minutes on two idle cores
    python scripts/benchmark_encoders.py --rounds 9     # more certain

Rows have lengths uniform in 1 to the number of steps, the longest exactly so many. Each comparison runs its variants in
turn, round after round, in one process, because a shared machine drifts: trust the ratios, not the milliseconds.
Another program on the same cores spoils the ratios too.
`packed` is the module of torch.nn on `pack_padded_sequence`; `padded` the same on the padded batch, which computes on
padding too and gives other numbers in the backward direction (so it is a bound on speed and not an alternative).
The part `bfloat16` trains large LSTMs under autocast, on 20 rows of 70 steps without padding, beside `nn.LSTM`.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqmodels.encoders import create_encoder

INPUT_SIZE = HIDDEN_SIZE = 256
MODULES = {"lstm": nn.LSTM, "gru": nn.GRU}
# kind, bidirectional, batch, time, the target of packed / ours, that of ours / padded
COMPARISONS = [
    ("lstm", True, 64, 30, 1.5, 1.10),
    ("lstm", True, 32, 512, 15.0, 1.10),
    ("lstm", False, 64, 30, None, 1.10),
    ("gru", True, 64, 30, None, None),
    ("gru", True, 32, 512, None, None),
]
PARTS = ("ragged", "bfloat16")
LARGE_SIZES = (1024, 1150)


def make_batch(batch: int, steps: int) -> tuple[Tensor, Tensor]:
    """Returns inputs (batch, time, input_size) and lengths (batch,)."""
    lengths = torch.randint(1, steps + 1, (batch,))
    lengths[0] = steps
    return torch.randn(batch, steps, INPUT_SIZE, requires_grad=True), lengths


def large_variants(size: int) -> dict[str, Callable[[], Tensor]]:
    """Returns, by name, functions that run the forward pass of a large LSTM in bfloat16."""
    inputs, lengths = torch.randn(20, 70, size, requires_grad=True), torch.full((20,), 70)
    ours = create_encoder("lstm", size, hidden_size=size)
    theirs = nn.LSTM(size, size, batch_first=True)

    def under_autocast(encode: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def forward() -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return encode().float()

        return forward

    return {
        "ours": under_autocast(lambda: ours(inputs, lengths)[0]),
        "nn.LSTM": under_autocast(lambda: theirs(inputs)[0]),
    }


def variants(kind: str, bidirectional: bool, inputs: Tensor, lengths: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Returns, by name, functions that run the forward pass."""
    ours = create_encoder(kind, INPUT_SIZE, hidden_size=HIDDEN_SIZE, bidirectional=bidirectional)
    theirs = MODULES[kind](INPUT_SIZE, HIDDEN_SIZE, bidirectional=bidirectional, batch_first=True)

    def packed() -> Tensor:
        outputs, _ = theirs(pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False))
        padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.size(1))
        return padded

    return {"ours": lambda: ours(inputs, lengths)[0], "padded": lambda: theirs(inputs)[0], "packed": packed}


def measure(forwards: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, list[float]]:
    """Returns the milliseconds of each variant's step in each round; one round before is not counted."""
    times: dict[str, list[float]] = {name: [] for name in forwards}
    for number in range(rounds + 1):
        for name, forward in forwards.items():
            start = time.perf_counter()
            forward().sum().backward()
            if number > 0:
                times[name].append(1000 * (time.perf_counter() - start))
    return times


def describe_ratio(name: str, above: list[float], below: list[float], target: float | None, at_least: bool) -> str:
    """Returns a line: the ratio of medians, the range of the rounds' ratios, the target."""
    ratio = statistics.median(above) / statistics.median(below)
    each = [one / other for one, other in zip(above, below, strict=True)]
    line = f"    {name}: {ratio:.2f} (rounds {min(each):.2f} to {max(each):.2f})"
    if target is None:
        return line
    reached = ratio >= target if at_least else ratio <= target
    bound = "at least" if at_least else "at most"
    return f"{line}; target {bound} {target:.2f}: {'reached' if reached else 'MISSED'}"


def print_times(times: dict[str, list[float]]) -> None:
    for name, values in times.items():
        print(f"    {name}: {statistics.median(values):.1f} ms (rounds {min(values):.1f} to {max(values):.1f})")


def processor() -> str:
    """Returns the name of the processor."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, seed {options.seed}")
    if "ragged" in options.parts:
        compare_ragged(options.rounds)
    for size in LARGE_SIZES if "bfloat16" in options.parts else ():
        times = measure(large_variants(size), options.rounds)
        print(f"lstm in bfloat16, one direction, 20 rows, 70 steps, hidden {size}")
        print_times(times)
        print(describe_ratio("ours / nn.LSTM", times["ours"], times["nn.LSTM"], None, at_least=False))


def compare_ragged(rounds: int) -> None:
    """Compares encoders on rows of unequal length."""
    for kind, bidirectional, batch, steps, packed_target, padded_target in COMPARISONS:
        inputs, lengths = make_batch(batch, steps)
        times = measure(variants(kind, bidirectional, inputs, lengths), rounds)
        share = lengths.sum().item() / (batch * steps)
        directions = "both directions" if bidirectional else "one direction"
        print(f"{kind}, {directions}, {batch} rows, {steps} steps, hidden {HIDDEN_SIZE}, {share:.0%} of them real")
        print_times(times)
        print(describe_ratio("packed / ours", times["packed"], times["ours"], packed_target, at_least=True))
        print(describe_ratio("ours / padded", times["ours"], times["padded"], padded_target, at_least=False))


if __name__ == "__main__":
    main()
