"""Trains a tagger of Python's own standard library, tests it beside two baselines and shows what it predicts.

    python scripts/quickstart.py            (`make quickstart` installs what it needs first)

Nothing is downloaded; configs/quickstart/tagging.yaml says what is trained.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from seqmodels.__main__ import main as command_line
from seqmodels.data.readers.python_roles import ROLES, tagged_lines
from seqmodels.data.readers.reader import Example, create_reader, read_examples
from seqmodels.inference.load import load

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart" / "tagging.yaml"

# The same words in several roles: `print`, `if`, `in`, the colon, the comma, the brackets.
SAMPLE = """\
@cache
def total(prices: dict[str, float], *, print=print) -> float:
    for name in [key for key in prices if "x" not in key]:
        print(f"{name}", end=prices[name][1:-1].upper())
    return -sum(value ** 2 for value in prices.values()) if prices else {"none": {0}}
"""

COLOURS = {
    "definition": "1;34", "call": "34", "parameter": "33", "keyword_argument": "33", "store": "1;37", "variable": "37",
    "attribute": "36", "module": "32", "imported": "32", "decorator": "35", "annotation": "32", "class": "32",
    "keyword": "35", "comprehension": "95", "conditional": "95", "logical": "95", "comparison": "95", "constant": "31",
    "number": "31", "string": "31", "docstring": "31",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the quickstart and returns its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/quickstart"), help="folder for the run")
    parser.add_argument("options", nargs="*", help="further options of `seqmodels fit`, after --")
    given = parser.parse_args(arguments)
    sys.argv = sys.argv[:1]  # Lightning warns where a script has arguments of its own

    fit = ["fit", "--config", str(CONFIG), "--trainer.default_root_dir", str(given.runs), *given.options]
    if status := command_line(fit):
        return status
    folder = newest_run(given.runs)
    if status := command_line(["test", "--ckpt_path", str(folder)]):
        return status

    accuracy = json.loads((folder / "results.json").read_text())["test_accuracy"]
    reader = create_reader("python_tagging")
    overall, per_word = baselines(read_examples(reader, "train"), list(read_examples(reader, "test")))
    scores = {"most frequent role": overall, "most frequent role of each word": per_word, "tagger": accuracy}
    print(f"\n{score_table(scores)}")
    print(f"\n{show(predict(checkpoint_file(folder), SAMPLE), colour=wants_colour())}")
    checkpoint = str(checkpoint_file(folder))
    print(f"\nIn Python: seqmodels.load({checkpoint!r}).tag([['x', '=', '1']])")
    return 0


def newest_run(runs: Path) -> Path:
    """Returns the folder of the run that wrote its results last."""
    return max(runs.rglob("results.json"), key=lambda path: path.stat().st_mtime).parent


def baselines(train: Iterable[Example], test: Sequence[Example]) -> tuple[float, float]:
    """Returns the accuracies, as fractions, of knowing nothing and of knowing the words but not their context.

    The first gives every token the most frequent tag of `train`; the second gives each word its own most frequent
    tag, and an unknown word the first.
    """
    tags: Counter[str] = Counter()
    tags_of: dict[str, Counter[str]] = defaultdict(Counter)
    for example in train:
        tags.update(example["tags"])
        for token, tag in zip(example["tokens"], example["tags"], strict=True):
            tags_of[token][tag] += 1
    most_frequent = tags.most_common(1)[0][0]
    best = {word: counts.most_common(1)[0][0] for word, counts in tags_of.items()}
    pairs = [pair for example in test for pair in zip(example["tokens"], example["tags"], strict=True)]
    overall = sum(tag == most_frequent for _, tag in pairs) / len(pairs)
    return overall, sum(tag == best.get(token, most_frequent) for token, tag in pairs) / len(pairs)


def score_table(scores: dict[str, float]) -> str:
    """Returns accuracies, given as fractions, as lines of a table in percent."""
    width = max(map(len, scores))
    return "\n".join(["Test accuracy", *(f"  {name:<{width}}  {score:6.1%}" for name, score in scores.items())])


def predict(checkpoint: Path, source: str) -> list[list[tuple[str, str, str]]]:
    """Returns (token, predicted role, true role) for each logical line of Python source."""
    lines = [([token.text for token in tokens], roles) for tokens, roles in tagged_lines(source)]
    predicted = load(checkpoint).tag([tokens for tokens, _ in lines])
    return [
        [(token, role, truth) for (token, role), truth in zip(row, truths, strict=True)]
        for row, (_, truths) in zip(predicted, lines, strict=True)
    ]


def checkpoint_file(folder: Path) -> Path:
    """Returns the best checkpoint of a run."""
    return next(folder.rglob("best.ckpt"))


def wants_colour() -> bool:
    """Tells whether standard output is a terminal that is to be coloured (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show(lines: Sequence[Sequence[tuple[str, str, str]]], colour: bool) -> str:
    """Returns each line's tokens with the predicted role below each; what is wrong names the true role, too."""
    shown = []
    for line in lines:
        for begin in range(0, len(line), 8):
            tokens, roles = "", ""
            for token, role, truth in line[begin : begin + 8]:
                label = role if role == truth else f"{role} (is {truth})"
                width = max(len(token), len(label)) + 2
                tokens += paint(f"{token:<{width}}", role, colour)
                roles += paint(f"{label:<{width}}", "" if role == truth else "wrong", colour)
            shown += [tokens.rstrip(), roles.rstrip(), ""]
    right = sum(role == truth for line in lines for _, role, truth in line)
    total = sum(map(len, lines))
    return "\n".join([*shown, f"{right} of {total} right, among {len(ROLES)} roles"])


def paint(text: str, role: str, colour: bool) -> str:
    """Returns the text in the colour of its role, the roles themselves dim, an error in red."""
    if not colour:
        return text
    code = "1;41" if role == "wrong" else next((code for part, code in COLOURS.items() if part in role), "2")
    return f"\033[{code}m{text}\033[0m"


if __name__ == "__main__":
    sys.exit(main())
