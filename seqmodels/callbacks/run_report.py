"""What a run cost and reached, as `results.json` in its folder."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from seqmodels.data.batch import Batch
from seqmodels.tasks import Task

FILE = "results.json"


class RunReport(Callback):
    """Measures a fit and keeps its figures, with those of later tests, in `results.json` of the run's folder.

    The scores of a test with options of its own, such as a neural cache or other data, are kept apart under `tests`, so
    that they do not take the place of the model's own.

    Args:
        folder: where the file goes; None for the logger's folder.
        options: how the test departs from the run's config, as it was typed; empty where it does not.
    """

    def __init__(self, folder: str | None = None, options: str = "") -> None:
        self.folder = folder
        self.options = options
        self._begin = self._cpu_begin = 0.0
        self._tokens: Tensor | int = 0
        self._step_seconds = 0.0
        self._steps_begin: float | None = None  # None while the clock of the training steps stands still

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clocks."""
        self._begin = time.perf_counter()
        self._cpu_begin = time.process_time()
        self._tokens, self._step_seconds, self._steps_begin = 0, 0.0, None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock of the training steps, which leaves validation out."""
        self._steps_begin = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Starts the clock of the training steps where it stands: after a validation, or in the middle of an epoch."""
        if self._steps_begin is None:
            self._steps_begin = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock of the training steps."""
        self._stop_clock()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock of the training steps."""
        self._stop_clock()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Counts the real steps read, or those written where the target is a text of its own."""
        self._tokens = self._tokens + (batch.lengths if batch.target_lengths is None else batch.target_lengths).sum()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the figures of the fit."""
        checkpoint = trainer.checkpoint_callback
        score = getattr(checkpoint, "best_model_score", None)
        self._write(
            trainer,
            {
                "parameters": sum(p.numel() for p in pl_module.parameters()),
                "epochs": trainer.current_epoch,
                "steps": trainer.global_step,
                "fit_seconds": round(time.perf_counter() - self._begin, 1),
                "cpu_seconds": round(time.process_time() - self._cpu_begin, 1),  # of all threads of this process
                "tokens_per_second": round(int(self._tokens) / self._step_seconds) if self._step_seconds else None,
                "peak_memory_mib": round(_peak_memory_mib()),
                "monitor": getattr(checkpoint, "monitor", None) or getattr(pl_module, "monitor", None),
                "best_score": None if score is None else float(score),
                "best_checkpoint": str(getattr(checkpoint, "best_model_path", "")) or None,
                "machine": machine(),
            },
        )
        path = getattr(checkpoint, "best_model_path", "")
        if trainer.is_global_zero and path:
            since = (
                " of the epochs since the checkpoint" if trainer.ckpt_path else ""
            )  # earlier ones: that run's own best
            reached = "" if score is None else f"best {checkpoint.monitor}{since} {float(score):.4f}; "  # type: ignore[union-attr]
            print(f"{reached}the model is {os.path.relpath(path)}", flush=True)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds the test scores."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("test_")}
        assert isinstance(pl_module, Task)
        scores = {**metrics, **pl_module.report()}
        self._write(trainer, {"tests": {self.options: scores}} if self.options else scores)

    def _stop_clock(self) -> None:
        if self._steps_begin is not None:
            self._step_seconds += time.perf_counter() - self._steps_begin
            self._steps_begin = None

    def _write(self, trainer: Trainer, values: dict[str, Any]) -> None:
        folder = self.folder or trainer.log_dir
        if not trainer.is_global_zero or folder is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = Path(folder) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        present = json.loads(path.read_text()) if path.exists() else {}
        if "tests" in values:
            values = {"tests": {**present.get("tests", {}), **values["tests"]}}
        path.write_text(json.dumps({**present, **values}, indent=2) + "\n")


def machine() -> str:
    """Returns one line that says on what a figure was measured."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        processor = models[0] if models else processor
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{processor}, {torch.get_num_threads()} threads, {device}, torch {torch.__version__}"


def _peak_memory_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform != "darwin" else 1024**2)
