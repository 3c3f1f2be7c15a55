"""How far a long experiment is, on standard error: a line that is written over on a terminal, whole lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 24


class Progress:
    """Tells of runs and of the steps within one.

    Args:
        stream: where to; None for standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.rewrites = self.stream.isatty()

    def line(self, text: str) -> None:
        """Writes a line that stays."""
        self.stream.write(f"\r\x1b[K{text}\n" if self.rewrites else f"{text}\n")
        self.stream.flush()

    def watch(self, name: str, total: int) -> Callable[[int, float], None]:
        """Returns what shows, on a terminal, a bar after each evaluation: it takes the step and the score."""
        begin = time.perf_counter()

        def show(step: int, score: float) -> None:
            if not self.rewrites:
                return
            filled = WIDTH * step // total
            bar = "#" * filled + "-" * (WIDTH - filled)
            seconds = time.perf_counter() - begin
            self.stream.write(f"\r\x1b[K{name} [{bar}] {step}/{total} steps, score {score:.4g}, {seconds:.0f} s")
            self.stream.flush()

        return show
