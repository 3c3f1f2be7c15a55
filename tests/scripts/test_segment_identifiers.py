"""What counting words makes of names without spaces."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "segment_identifiers.py"
COUNTS = Counter({"a": 3, "ab": 2, "abc": 1, "cd": 5, "d": 1, "bcd": 2})


@pytest.fixture(scope="module")
def script(load_script: Callable[[Path], ModuleType]) -> ModuleType:
    return load_script(SCRIPT)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("abcd", ["abc", "d"]),
        ("aab", ["a", "ab"]),
        ("xyabzz", ["xy", "ab", "zz"]),
        ("xy", ["xy"]),
        ("", []),
    ],
)
def test_longest_match(script: ModuleType, text: str, parts: list[str]) -> None:
    assert script.longest_match(text, COUNTS.keys()) == parts


def test_nothing_is_parted_without_words(script: ModuleType) -> None:
    assert script.longest_match("ab", set()) == ["ab"]


@pytest.mark.parametrize("text", ["abcd", "xabcdx", "aabcdd", "zz", ""])
def test_most_probable_equals_the_best_of_all_partings(script: ModuleType, text: str) -> None:
    def log_probability(parts: list[str]) -> float:
        total = sum(COUNTS.values())
        return sum(
            math.log(COUNTS[part] / total) if part in COUNTS else -math.log(total) - len(part) * math.log(26)
            for part in parts
        )

    places = range(1, len(text))
    cuts = [cut for count in range(len(text)) for cut in itertools.combinations(places, count)] or [()]
    partings = [[text[a:b] for a, b in itertools.pairwise([0, *cut, len(text)]) if b > a] for cut in cuts]
    found = script.most_probable(text, COUNTS)
    assert "".join(found) == text
    assert log_probability(found) == pytest.approx(max(map(log_probability, partings)))


def test_scores(script: ModuleType) -> None:
    pairs = [("abcd", "ab cd"), ("ad", "a d")]
    assert script.score(pairs, lambda text: script.longest_match(text, COUNTS))["exact_match"] == 0.5
    assert script.score(pairs, lambda text: script.most_probable(text, COUNTS))["exact_match"] == 1
