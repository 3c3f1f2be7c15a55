"""The results of the checks as a table for people and as plain values for programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from seqmodels.conformance.promise import Result

COLOURS = {"kept": "\033[32m", "broken": "\033[1;31m", "not applicable": "\033[2m"}
PLAIN = "\033[0m"


def table(name: str, results: Sequence[Result], *, colours: bool = False) -> str:
    """Returns a line for each promise, then what is promised and what to mend for each broken one.

    Promises that are broken in the same way, but for its numbers, are explained once; those that may be broken because
    the same batch does not give the same again, not at all.

    Args:
        name: the encoder's.
        results: what the checks came to.
        colours: whether to colour the states, as a terminal can.
    """
    width = max(len(result.promise) for result in results)
    lines = [f"{'promise':<{width}}  {'status':<14}  difference    bound"]
    for result in results:
        status = f"{result.status:<14}"
        status = f"{COLOURS[result.status]}{status}{PLAIN}" if colours else status
        numbers = f"{_number(result.difference):>10}  {_number(result.bound):>7}"
        lines.append(f"{result.promise:<{width}}  {status}  {numbers}".rstrip())
    lines += _explanations(results)
    counts = {status: sum(result.status == status for result in results) for status in COLOURS}
    lines += ["", f"{name}: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count)]
    return "\n".join(lines)


def _explanations(results: Sequence[Result]) -> list[str]:
    broken = [result for result in results if result.status == "broken"]
    following = _consequences(broken)
    alike: dict[str, list[Result]] = {}
    for result in broken:
        if result not in following:
            alike.setdefault(re.sub(r"\d+", "#", result.found), []).append(result)
    lines = []
    for same in alike.values():
        lines += ["", _names(same), *(f"  {line}" for line in same[0].explanation.split("\n"))]
    if following:
        lines += [
            "",
            _names(following),
            "  found: may follow from `repeatable`, as what changes from call to call differs in every comparison; "
            "mend that, and check again",
        ]
    return lines


def _consequences(broken: Sequence[Result]) -> list[Result]:
    """Returns the comparisons of numbers that say nothing, where the same batch does not give the same again."""
    if not any(result.promise == "repeatable" and result.difference is not None for result in broken):
        return []
    others = {"repeatable", "linear time"}
    return [result for result in broken if result.difference is not None and result.promise not in others]


def _names(results: Sequence[Result]) -> str:
    return ", ".join(result.promise for result in results)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def report_of(name: str, results: Sequence[Result]) -> dict[str, Any]:
    """Returns the results as plain values that JSON can hold; a difference that is infinite is the text `inf`."""
    rows = [asdict(result) for result in results]
    for row in rows:
        if row["difference"] == float("inf"):
            row["difference"] = "inf"
    return {"encoder": name, "kept": all(result.status != "broken" for result in results), "promises": rows}
