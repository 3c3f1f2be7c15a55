from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqmodels.data.readers import UeaReader, read_examples
from seqmodels.errors import DataError

Write = Callable[[str, "str | bytes"], Path]
HEADER = "# about\n@problemName X\n@timeStamps false\n@dimensions 2\n@classLabel true a b\n@data\n"


def read(path: Path, targets: bool = True, **arguments: Any) -> list[Any]:
    return list(read_examples(UeaReader(**arguments), path, targets=targets))


def test_missing_values_are_replaced_where_asked(write: Write) -> None:
    path = write("x.ts", HEADER + "1,?:3,NaN:a\n")
    assert read(path, missing=-1.5) == [{"features": [[1.0, 3.0], [-1.5, -1.5]], "label": "a"}]
    with pytest.raises(DataError, match=r"x.ts:7: a value is missing; say what stands in for it, such as missing: 0.0"):
        read(path)


def test_cases_without_class_are_for_prediction(write: Write) -> None:
    path = write("x.ts", "@classLabel false\n@data\n1,2:3,4\n")
    assert read(path, targets=False) == [{"features": [[1.0, 3.0], [2.0, 4.0]]}]
    with pytest.raises(DataError, match=r"x.ts:2: expected `@classLabel true`"):
        read(path)


def test_a_case_of_no_steps(write: Write) -> None:
    assert read(write("x.ts", HEADER + "::a\n")) == [{"features": [], "label": "a"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "1,2:3,x:a\n", "x.ts:7: expected a number, found 'x'"),
        (HEADER + "1,2:3,-inf:a\n", "x.ts:7: expected a finite number, found '-inf'"),
        (HEADER + "1,2:3,4:5,6:a\n", "x.ts:7: expected 2 channels separated by colons, found 3"),
        (HEADER + "1,2:3:a\n", "x.ts:7: expected channels of one length, found lengths 1, 2"),
        (HEADER + "1:2:c\n", r"x.ts:7: expected a class that the header announces \(a, b\), found 'c'"),
        (HEADER.replace("@data\n", ""), "x.ts:5: expected a line `@data` before the cases, found none"),
        (HEADER.replace("@data", "1:2:a"), "x.ts:6: expected a header line that begins with @, found '1:2:a'"),
        (HEADER.replace("Stamps false", "Stamps true"), "x.ts:6: expected values without time stamps"),
        (HEADER.replace("dimensions 2", "dimensions two"), "x.ts:6: expected the number of channels .* found 'two'"),
    ],
)
def test_a_wrong_file(content: str, message: str, write: Write) -> None:
    with pytest.raises(DataError, match=message):
        read(write("x.ts", content))
