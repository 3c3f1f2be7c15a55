"""Time series of the UEA archive: sktime's `.ts` files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from seqmodels.data.readers.reader import Example, Reader, read_lines, register_reader
from seqmodels.errors import DataError


@register_reader("uea")
class UeaReader(Reader):
    """Reads cases of any number of channels and any length; the class is the last field.

    A case is a line: the values of one channel separated by commas, channels separated by colons. The header's
    `@classLabel`, `@dimensions` and `@timestamps` are minded.

    Args:
        missing: the number that stands in for a missing value (`?` or `NaN`); default: a missing value is an error.
    """

    inputs = "features"
    targets = "label"

    def __init__(self, *, missing: float | None = None) -> None:
        self._missing = missing

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a case, its features (time, channels).

        Raises:
            DataError: no `@data` line, no class where one is wanted, time stamps, a value that is no finite number,
                channels of different lengths or of another number than announced.
        """
        header: dict[str, list[str]] = {}
        in_data = False
        number = 0
        for number, line in read_lines(path):
            line, where = line.strip(), f"{path}:{number}"
            if not line or line.startswith("#"):
                continue
            if in_data:
                yield self._case(line, header, where, targets)
            elif line.startswith("@"):
                key, *values = line[1:].split()
                header[key.lower()] = values
                in_data = key.lower() == "data"
                if in_data:
                    _check_header(header, where, targets)
            else:
                raise DataError(f"{where}: expected a header line that begins with @, found {line[:40]!r}")
        if number and not in_data:
            raise DataError(f"{path}:{number}: expected a line `@data` before the cases, found none")

    def _case(self, line: str, header: dict[str, list[str]], where: str, targets: bool) -> Example:
        fields = line.split(":")
        label = fields.pop().strip() if _is_true(header, "classlabel") else None
        dimensions = header.get("dimensions", [])
        if dimensions and len(fields) != int(dimensions[0]):
            raise DataError(f"{where}: expected {dimensions[0]} channels separated by colons, found {len(fields)}")
        channels = [self._numbers(field, where) for field in fields]
        lengths = sorted({len(channel) for channel in channels})
        if len(lengths) > 1:
            raise DataError(f"{where}: expected channels of one length, found lengths {', '.join(map(str, lengths))}")
        example: Example = {"features": [list(step) for step in zip(*channels, strict=True)]}
        if targets and label is not None:
            if not label or (len(header["classlabel"]) > 1 and label not in header["classlabel"][1:]):
                known = ", ".join(header["classlabel"][1:])
                raise DataError(f"{where}: expected a class that the header announces ({known}), found {label!r}")
            example["label"] = label
        return example

    def _numbers(self, field: str, where: str) -> list[float]:
        values = []
        for value in field.split(",") if field.strip() else ():
            try:
                number = math.nan if value.strip() == "?" else float(value)
            except ValueError as error:
                raise DataError(f"{where}: expected a number, found {value!r}") from error
            if math.isnan(number):
                if self._missing is None:
                    raise DataError(f"{where}: a value is missing; say what stands in for it, such as missing: 0.0")
                number = self._missing
            if math.isinf(number):
                raise DataError(f"{where}: expected a finite number, found {value.strip()!r}")
            values.append(number)
        return values


def _is_true(header: dict[str, list[str]], key: str) -> bool:
    return [value.lower() for value in header.get(key, [])[:1]] == ["true"]


def _check_header(header: dict[str, list[str]], where: str, targets: bool) -> None:
    if _is_true(header, "timestamps"):
        raise DataError(f"{where}: expected values without time stamps, the header says @timestamps true")
    if targets and not _is_true(header, "classlabel"):
        raise DataError(f"{where}: expected `@classLabel true` and the classes in the header; the cases have no class")
    dimensions = header.get("dimensions", ["1"])
    if len(dimensions) != 1 or not dimensions[0].isdecimal():
        raise DataError(f"{where}: expected the number of channels after @dimensions, found {' '.join(dimensions)!r}")
