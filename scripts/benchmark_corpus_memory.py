"""Memory that a large text costs until its first training steps, beside the size of its file.

    python scripts/benchmark_corpus_memory.py                     # 100 MB; some minutes
    python scripts/benchmark_corpus_memory.py --megabytes 20

A synthetic text (words by Zipf's law, lines of 20) is made ready by `ContiguousStreams` as `fit` does it, and some
windows are read, in a process of its own: first from the text file, then from what the first time left in the cache.

`growth` is the peak of the resident memory in a stage above what the process held after its imports, `own` the part of
it that cannot be given back at need (the rest are pages of mapped files, which the system drops when it wants the
memory; it is sampled every few milliseconds). Needs Linux.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SEED = 1
LINE = 20  # words
BLOCK = 5_000  # lines
VOCABULARY = 30_000
WINDOWS = 50
STATUS = Path("/proc/self/status")
Stage = Callable[[], Any]


def write_text(path: Path, megabytes: float, words: int) -> None:
    """Writes a text of about so many millions of bytes, of so many different words at the most."""
    random = np.random.default_rng(SEED)
    cumulative = np.cumsum(1 / (np.arange(words) + 2.7))
    names = [f"w{number}" for number in range(words)]
    with path.open("w") as file:
        while file.tell() < megabytes * 1e6:
            ranks = np.searchsorted(cumulative, random.random(BLOCK * LINE) * cumulative[-1])
            drawn = [names[rank] for rank in ranks.tolist()]
            file.writelines(" ".join(drawn[at : at + LINE]) + "\n" for at in range(0, len(drawn), LINE))


def resident(name: str) -> float:
    """Returns a line of this process's memory status in MB: `VmRSS`, its peak `VmHWM`, or `RssAnon`, its own part."""
    return next(int(line.split()[1]) * 1024 / 1e6 for line in STATUS.read_text().splitlines() if line.startswith(name))


class Watch:
    """Samples the largest own memory of this process in a thread, for use in `with`."""

    def __enter__(self) -> Watch:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self.own = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while True:
            self.own = max(self.own, resident("RssAnon"))
            if self._stop.wait(0.005):
                return

    def __exit__(self, *error: Any) -> None:
        self._stop.set()
        self._thread.join()
        self.peak = resident("VmHWM")


def stages_of(text: str, cache: str) -> dict[str, Stage]:
    """Returns, by name, what `fit` does with the text before the first step, and the reading of some windows."""
    import datasets  # noqa: F401  (its memory is not the text's)
    import lightning  # noqa: F401

    from seqmodels import ContiguousStreams
    from seqmodels.data.next_step import build_next_step_schema

    tokenizer: dict[str, Any] = {"name": "word", "max_size": VOCABULARY, "split": "whitespace"}
    data = ContiguousStreams(train=text, tokenizer=tokenizer, cache_dir=cache)

    def build_vocabulary() -> None:
        data.schema = build_next_step_schema(data.examples("train"), inputs="text", tokenizer=tokenizer)

    return {
        "reading": data.prepare_data,
        "vocabulary": build_vocabulary,
        "encoding": lambda: data.setup("fit"),
        "describing": data.describe,
        f"{WINDOWS} windows": lambda: sum(1 for _ in itertools.islice(data.train_dataloader(), WINDOWS)),
    }


def measure_stages(text: str, cache: str) -> dict[str, Any]:
    """Returns the memory after imports, and seconds, peak growth and growth of the own memory of each stage, in MB."""
    stages = stages_of(text, cache)
    start, own_start = resident("VmRSS"), resident("RssAnon")
    found = {}
    for name, stage in stages.items():
        begin = time.perf_counter()
        with Watch() as watch:
            stage()
        found[name] = (time.perf_counter() - begin, watch.peak - start, watch.own - own_start)
    return {"start": start, "stages": found}


def measure_apart(text: Path, cache: Path) -> dict[str, Any]:
    """Returns what `measure_stages` does, in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(text), str(cache)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return measured


def describe(name: str, measured: dict[str, Any], size: float) -> str:
    """Returns a table of the stages and their largest figures beside the file's size (MB)."""
    lines = [
        f"{name}: {measured['start']:.0f} MB after imports",
        f"    {'':<12}{'seconds':>10}{'growth':>10}{'own':>10}",
    ]
    for stage, (seconds, growth, own) in measured["stages"].items():
        lines.append(f"    {stage:<12}{seconds:>10.1f}{growth:>7.0f} MB{own:>7.0f} MB")
    peak, own_peak = (max(stage[place] for stage in measured["stages"].values()) for place in (1, 2))
    verdict = "reached" if peak <= size else "MISSED"
    lines.append(
        f"    peak growth / file: {peak / size:.2f} (own memory {own_peak / size:.2f}); at most 1.00: {verdict}"
    )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Prints the figures of both times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100, help="size of the text, in millions of bytes")
    parser.add_argument("--words", type=int, default=300_000, help="different words of the text, at the most")
    parser.add_argument("--measure", nargs=2, metavar=("TEXT", "CACHE"), help="print the figures of this process alone")
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(measure_stages(*options.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        text, cache = Path(folder) / "text.txt", Path(folder) / "cache"
        write_text(text, options.megabytes, options.words)
        size = text.stat().st_size / 1e6
        print(f"text of {size:.1f} MB, at most {options.words:,} different words, a vocabulary of {VOCABULARY:,}")
        for name in ("from the text", "from the cache"):
            print(describe(name, measure_apart(text, cache), size))


if __name__ == "__main__":
    main()
