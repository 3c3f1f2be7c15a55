"""Predictions as a file, in the order of the input."""

from __future__ import annotations

import csv
import io
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

from lightning.pytorch import Callback, LightningModule, Trainer

from seqmodels.errors import ConfigurationError
from seqmodels.processes import gather

Format = Literal["jsonl", "conll", "csv"]


class PredictionWriter(Callback):
    """Writes what `predict` returns, one record an input, in the order of the input whatever the batches were.

    Results wait in a temporary file, so that an input larger than memory is no trouble.

    Args:
        output: the file to write, or `-` for standard output.
        format: `jsonl` (input and prediction as an object a line), `conll` (token and tag a line, for taggers) or `csv`
            (id, input and prediction); None chooses by the file's ending, jsonl where it says nothing.

    Raises:
        ConfigurationError: the format is unknown, or the folder of the file is not there.
    """

    def __init__(self, output: str = "-", format: Format | None = None) -> None:
        formats = {".jsonl": "jsonl", ".json": "jsonl", ".conll": "conll", ".csv": "csv"}
        self.format = format or formats.get(Path(output).suffix, "jsonl")
        if self.format not in _FORMATS:
            raise ConfigurationError(f"unknown format '{self.format}'; known: {', '.join(_FORMATS)}")
        self.output = output
        if output != "-" and not Path(output).absolute().parent.is_dir():
            raise ConfigurationError(
                f"--output {output}: there is no folder {Path(output).absolute().parent}; make it first"
            )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens the temporary file."""
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115
        self._places: dict[int, tuple[int, int]] = {}

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps the results of a batch."""
        examples = trainer.datamodule.predict_examples  # type: ignore[attr-defined]
        kept = batch.counted.tolist()
        for result, counted in zip(outputs, kept, strict=True):
            if counted:
                row = result["row"]
                text = _FORMATS[self.format](examples[row], {k: v for k, v in result.items() if k != "row"})
                self._places[row] = self._spool.tell(), self._spool.write(text.encode())

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes everything in the order of the input."""
        read: Callable[[int], str] = self._read
        rows: Sequence[int] = sorted(self._places)
        if trainer.world_size > 1:
            parts = gather({row: self._read(row) for row in rows})
            texts = {row: text for part in parts for row, text in part.items()}
            read, rows = texts.__getitem__, sorted(texts)
        if trainer.is_global_zero:
            if self.output == "-":
                self._write(sys.stdout, rows, read)
            else:
                with open(self.output, "w", encoding="utf-8", newline="") as stream:
                    self._write(stream, rows, read)
                print(f"{len(rows)} predictions written to {self.output}", file=sys.stderr)
        self._spool.close()

    def _read(self, row: int) -> str:
        place, size = self._places[row]
        self._spool.seek(place)
        return self._spool.read(size).decode()

    def _write(self, stream: TextIO, rows: Sequence[int], read: Callable[[int], str]) -> None:
        stream.write(_HEADERS.get(self.format, ""))
        for row in rows:
            stream.write(read(row))
        stream.flush()


def _jsonl(example: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    given = {key: example[key] for key in ("id", "text", "tokens") if example.get(key) is not None}
    return json.dumps({**given, **result}, ensure_ascii=False) + "\n"


def _conll(example: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    if "tags" not in result:
        raise ConfigurationError("--format conll is for taggers; this model gives labels: use jsonl or csv")
    words = example.get("tokens") or (example.get("text") or "").split()
    return "".join(f"{word}\t{tag}\n" for word, tag in zip(words, result["tags"], strict=False)) + "\n"


def _csv(example: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    given = example.get("text") or " ".join(example.get("tokens") or [])
    predicted = result.get("label") or " ".join(result.get("labels") or result.get("tags") or [])
    predicted = predicted or result.get("translation", result.get("log_probability", ""))  # or of a language model
    line = io.StringIO()
    csv.writer(line).writerow([example.get("id") or "", given, predicted])
    return line.getvalue()


_FORMATS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], str]] = {
    "jsonl": _jsonl,
    "conll": _conll,
    "csv": _csv,
}
_HEADERS = {"csv": "id,input,prediction\r\n"}
