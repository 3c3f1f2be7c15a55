"""Polyphonic music: the notes that sound at each step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqmodels.data.readers.reader import DAMAGED, Example, Reader, open_binary, register_reader
from seqmodels.errors import ConfigurationError, DataError, did_you_mean

HIGHEST_OF_MIDI = 127


@register_reader("piano_roll")
class PianoRollReader(Reader):
    """Reads pieces of music as frames of 0 and 1, one for each note from `lowest` to `highest`, 1 where it sounds.

    The file is JSON, `{split: [piece, ...]}`: a piece is a list of steps, a step the list of its notes by their MIDI
    numbers (60 is middle C), empty for a rest. So the polyphonic data sets of Boulanger-Lewandowski et al. (2012),
    Modeling temporal dependencies in high-dimensional sequences, are exchanged. A piece is named by its split and its
    number from 1.

    Args:
        split: which split of the file to read.
        lowest: the lowest note, a MIDI number from 0; default: that of the piano.
        highest: the highest note, a MIDI number up to 127; default: that of the piano, which makes 88 notes.

    Raises:
        ConfigurationError: the notes are out of range or order.
    """

    inputs = "features"
    targets = None

    def __init__(self, *, split: str = "train", lowest: int = 21, highest: int = 108) -> None:
        if not 0 <= lowest <= highest <= HIGHEST_OF_MIDI:
            raise ConfigurationError(
                f"piano_roll: expected 0 <= lowest <= highest <= {HIGHEST_OF_MIDI}, "
                f"got lowest {lowest} and highest {highest}"
            )
        self._split = split
        self._lowest = lowest
        self._highest = highest

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a piece.

        Raises:
            DataError: the file is not JSON, has no such split, or a piece is not lists of notes within the range.
        """
        for number, piece in enumerate(self._pieces(path), start=1):
            where = f"{path}: {self._split}, piece {number}"
            if not isinstance(piece, list) or not piece:
                raise DataError(f"{where}: expected a list of steps, found {_shown(piece)}")
            frames = [self._frame(step, f"{where}, step {place}") for place, step in enumerate(piece, start=1)]
            yield {"features": frames, "id": f"{self._split}/{number}"}

    def _pieces(self, path: Path) -> list[Any]:
        try:
            with open_binary(path) as stream:
                content = json.load(stream)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{error.lineno}: expected JSON: {error.msg} at column {error.colno}") from error
        except (OSError, UnicodeDecodeError, *DAMAGED) as error:
            raise DataError(f"{path}: cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise DataError(f"{path}: expected a JSON object, split to pieces, found {_shown(content)}")
        if self._split not in content:
            known = ", ".join(content) or "none"
            hint = did_you_mean(self._split, content)
            raise DataError(f"{path}: no split '{self._split}'; the splits are: {known}{hint}")
        pieces = content[self._split]
        if not isinstance(pieces, list):
            raise DataError(f"{path}: {self._split}: expected a list of pieces, found {_shown(pieces)}")
        return pieces

    def _frame(self, step: Any, where: str) -> list[float]:
        if not isinstance(step, list):
            raise DataError(f"{where}: expected a list of notes, found {_shown(step)}")
        frame = [0.0] * (self._highest - self._lowest + 1)
        for note in step:
            # json gives true and false as bool, which Python counts among the whole numbers
            if isinstance(note, bool) or not isinstance(note, (int, float)) or note != note // 1:
                raise DataError(f"{where}: expected notes as whole numbers, found {_shown(note)}")
            if not self._lowest <= note <= self._highest:
                raise DataError(
                    f"{where}: expected notes from {self._lowest} to {self._highest}, found {note}; "
                    f"set `lowest` and `highest` to the range of the data, the same for every split"
                )
            frame[int(note) - self._lowest] = 1.0
        return frame


def _shown(value: Any) -> str:
    """Returns the beginning of a JSON value, as an error shows it."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
