"""Prints what share of an epoch is padding for several ways of making batches, and how fast batches are filled.

SEQMODELS_DATA=... python scripts/benchmark_padding.py [path to a CoNLL-U file]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.encoded import Encoded, collate
from seqmodels.data.labelled_sequences import LabelledSequences


def main() -> None:
    """Reads the file and prints both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", nargs="?", default="$SEQMODELS_DATA/ud-english-ewt/en_ewt-ud-train.conllu.gz")
    parser.add_argument("--batch_size", type=int, default=32, help="rows a batch")
    arguments = parser.parse_args()
    data = LabelledSequences("conllu", train=arguments.path)
    data.setup("fit")
    encoded = Encoded(ids=data.encoded("train").encoded.ids)
    print_padding(encoded.steps().lengths(), arguments.batch_size)
    print_filling(encoded, arguments.batch_size)


def print_padding(lengths: np.ndarray, batch_size: int) -> None:
    """Prints padding, batches and recurrent steps of an epoch."""
    budget = int(lengths.mean() * batch_size)
    samplers = {
        "random": BucketSampler(lengths, batch_size=batch_size, shuffle=True, pool=1),
        "sorted in pools of 20 batches": BucketSampler(lengths, batch_size=batch_size, shuffle=True, pool=20),
        "sorted in pools of 100 batches (default)": BucketSampler(lengths, batch_size=batch_size, shuffle=True),
        "all sorted (evaluation)": BucketSampler(lengths, batch_size=batch_size),
        f"budget of {budget} steps, pools of 100": BucketSampler(lengths, max_tokens=budget, shuffle=True),
    }
    print(f"{'batches':44} {'padding':>8} {'batches':>8} {'recurrent steps':>16} {'ms to choose':>13}")
    for name, sampler in samplers.items():
        start = time.perf_counter()
        batches = sampler.batches(0)
        milliseconds = 1000 * (time.perf_counter() - start)
        steps = sum(int(lengths[rows].max()) for rows, _ in batches)
        share = f"{100 * sampler.padding_share():.1f}%"
        print(f"{name:44} {share:>8} {len(batches):8,} {steps:16,} {milliseconds:13.1f}")


def print_filling(encoded: Encoded, batch_size: int) -> None:
    """Prints the time to fill the batches of an epoch."""
    assert encoded.ids is not None
    ids = encoded.ids
    batches = [rows for rows, _ in BucketSampler(ids.lengths(), batch_size=batch_size, shuffle=True).batches(0)]
    lists = [ids[row].tolist() for row in range(len(ids))]

    def from_lists() -> None:
        for rows in batches:
            pad_sequence([torch.tensor(lists[row]) for row in rows], batch_first=True)
            torch.tensor([len(lists[row]) for row in rows])

    def from_columns() -> None:
        for rows in batches:
            collate(encoded, rows)

    slow, fast = measure(from_lists), measure(from_columns)
    print(
        f"\nfilling an epoch: pad_sequence {1000 * slow:.0f} ms, flat columns {1000 * fast:.0f} ms, "
        f"{slow / fast:.1f} times as fast"
    )


def measure(action: Callable[[], None], rounds: int = 5) -> float:
    """Returns the median time of some rounds, seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


if __name__ == "__main__":
    main()
