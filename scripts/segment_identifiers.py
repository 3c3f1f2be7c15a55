"""Parts the names of the quickstart of translation into words without a network: what a trained model is held against.

    python scripts/segment_identifiers.py

Nothing is trained but a count of the words of the training targets, and nothing is downloaded. `longest match` takes at
each place the longest word that fits, from left to right; `most probable` takes the parting whose words are together
the most probable, each by itself. chrF is not among the scores, since it does not count spaces and so is 100 whatever
the parting.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from seqmodels.data.readers import create_reader, read_examples
from seqmodels.metrics import TranslationScores

READER = "python_identifiers"


def main() -> None:
    """Reads the splits and prints the scores of both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--split", default="test", choices=("validation", "test"), help="which names to part")
    split = parser.parse_args().split
    reader = create_reader(READER)
    train = [example["target_text"] for example in read_examples(reader, "train")]
    pairs = [(example["text"], example["target_text"]) for example in read_examples(reader, split)]
    words = Counter(word for target in train for word in target.split())
    known = sum(set(target.split()) <= words.keys() for _, target in pairs) / len(pairs)
    print(f"{len(train):,} training pairs of {len(words):,} words; {len(pairs):,} pairs of {split}")
    print(f"{100 * known:.1f}% of these are of words that training has\n")
    methods: dict[str, Callable[[str], list[str]]] = {
        "longest match": lambda text: longest_match(text, words.keys()),
        "most probable": lambda text: most_probable(text, words),
    }
    print(f"{'':15}{'exact match':>12}{'BLEU':>8}{'TER':>8}")
    for name, method in methods.items():
        scores = score(pairs, method)
        print(f"{name:15}{scores['exact_match']:12.4f}{scores['bleu']:8.2f}{scores['ter']:8.2f}")


def score(pairs: Iterable[tuple[str, str]], method: Callable[[str], list[str]]) -> dict[str, float]:
    """Returns the scores of what a method makes of each text, held against its words."""
    scores = TranslationScores()
    texts, targets = zip(*pairs, strict=True)
    scores.update([" ".join(method(text)) for text in texts], list(targets))
    return {name: float(value) for name, value in scores.compute().items()}


def longest_match(text: str, words: Collection[str]) -> list[str]:
    """Parts a text from left to right, each time behind the longest word that fits; what is between stays together.

    Args:
        text: without spaces.
        words: that are known.
    """
    longest = max(map(len, words), default=0)
    parts: list[str] = []
    begin = unknown = 0
    while begin < len(text):
        ends = range(min(len(text), begin + longest), begin, -1)
        end = next((end for end in ends if text[begin:end] in words), None)
        if end is None:
            begin += 1
            continue
        parts += [text[unknown:begin]] if unknown < begin else []
        parts.append(text[begin:end])
        begin = unknown = end
    return parts + ([text[unknown:]] if unknown < len(text) else [])


def most_probable(text: str, counts: Mapping[str, int]) -> list[str]:
    """Parts a text so that the product of the probabilities of its words is greatest, by dynamic programming.

    A word that is not known has the probability of one that was seen once, divided by 26 for each of its letters.

    Args:
        text: without spaces.
        counts: how often each known word was seen.
    """
    total = sum(counts.values())
    best: list[tuple[float, int]] = [
        (0.0, 0)
    ]  # for each end the log-probability in nats, and where the last word begins
    for end in range(1, len(text) + 1):
        candidates = []
        for begin in range(end):
            count = counts.get(text[begin:end])
            word = math.log(count / total) if count else -math.log(total) - (end - begin) * math.log(26)
            candidates.append((best[begin][0] + word, begin))
        best.append(max(candidates))
    parts: list[str] = []
    end = len(text)
    while end:
        begin = best[end][1]
        parts.append(text[begin:end])
        end = begin
    return parts[::-1]


if __name__ == "__main__":
    main()
