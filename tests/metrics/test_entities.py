"""Entity scores against an independent transcription of conlleval, by hand, and added up from parts."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from torch import Tensor

from seqmodels.data.encoded import IGNORED, UNSEEN
from seqmodels.metrics import EntityScores

BIO = ["O", "B-X", "I-X", "B-Y", "I-Y"]
TAG_SETS = {
    "bio": BIO,
    "iobes": [*BIO, "E-X", "S-X", "E-Y", "S-Y"],
    "bilou": ["O", "B-X", "I-X", "L-X", "U-X", "B-Y-Z", "U-Y-Z"],
    "mixed": ["O", "_", "B-X", "I-X", "I-Y", "E-Y", "S-X", "U-Y", "B", "I"],
    "bare": ["O", "B", "I", "E", "S"],
    "parts of speech": ["NOUN", "VERB", "PUNCT", "."],
}


LETTERS = {"L": "E", "U": "S", "_": "O"}


def end_of_chunk(previous_tag: str, tag: str, previous_type: str, kind: str) -> bool:
    pairs = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O")}
    added = {("B", "S"), ("I", "S"), ("E", "B"), ("E", "S"), ("S", "B"), ("S", "I"), ("S", "E"), ("S", "S"), ("S", "O")}
    return (previous_tag, tag) in pairs | added or (previous_tag not in ("O", ".") and previous_type != kind)


def start_of_chunk(previous_tag: str, tag: str, previous_type: str, kind: str) -> bool:
    pairs = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"), ("E", "E"), ("E", "I"), ("O", "E")}
    added = {("B", "S"), ("I", "S"), ("E", "B"), ("E", "S"), ("S", "B"), ("S", "I"), ("S", "E"), ("S", "S"), ("O", "S")}
    return (previous_tag, tag) in pairs | added or (tag not in ("O", ".") and previous_type != kind)


def split(tag: str) -> tuple[str, str]:
    prefix, hyphen, kind = tag.partition("-")
    return (LETTERS.get(prefix, prefix), kind) if hyphen else (LETTERS.get(tag, tag), "")


def conlleval(sentences: list[tuple[list[str], list[str]]]) -> dict[str, Counter[str] | int]:
    """Counts sentences of (gold tags, guessed tags) by the rules of conlleval.pl (CoNLL-2000), as it goes through them.

    It is the script line by line, with the script's own variables. Two rules are added for schemes that the script does
    not know: S- starts and ends a chunk, and so does what follows S- or E-.
    """
    correct_chunk: Counter[str] = Counter()
    found_correct: Counter[str] = Counter()
    found_guessed: Counter[str] = Counter()
    correct_tags = tokens = 0
    in_correct = False
    last_correct, last_correct_type, last_guessed, last_guessed_type = "O", "", "O", ""
    for gold, guesses in sentences:
        # the script reads an empty line between sentences as one more token, outside, which is not counted
        for correct_tag, guessed_tag in [*zip(gold, guesses, strict=True), ("O", "O")]:
            correct, correct_type = split(correct_tag)
            guessed, guessed_type = split(guessed_tag)
            end_correct = end_of_chunk(last_correct, correct, last_correct_type, correct_type)
            end_guessed = end_of_chunk(last_guessed, guessed, last_guessed_type, guessed_type)
            start_correct = start_of_chunk(last_correct, correct, last_correct_type, correct_type)
            start_guessed = start_of_chunk(last_guessed, guessed, last_guessed_type, guessed_type)
            if in_correct:
                if end_correct and end_guessed and last_guessed_type == last_correct_type:
                    in_correct = False
                    correct_chunk[last_correct_type] += 1
                elif end_correct != end_guessed or guessed_type != correct_type:
                    in_correct = False
            if start_correct and start_guessed and guessed_type == correct_type:
                in_correct = True
            found_correct[correct_type] += start_correct
            found_guessed[guessed_type] += start_guessed
            correct_tags += correct_tag == guessed_tag
            tokens += 1
            last_correct, last_correct_type = correct, correct_type
            last_guessed, last_guessed_type = guessed, guessed_type
        correct_tags -= 1
        tokens -= 1
    return {
        "correct": +correct_chunk,
        "gold": +found_correct,
        "found": +found_guessed,
        "correct_tokens": correct_tags,
        "tokens": tokens,
    }


def batch(rows: list[list[int]], width: int) -> Tensor:
    return torch.tensor([row + [IGNORED] * (width - len(row)) for row in rows])


@pytest.mark.parametrize("names", TAG_SETS.values(), ids=TAG_SETS)
@pytest.mark.parametrize("seed", range(5))
def test_equals_conlleval_on_any_sequences(names: list[str], seed: int) -> None:
    generator = random.Random(seed)
    gold = [[generator.randrange(len(names)) for _ in range(generator.randrange(14))] for _ in range(61)]
    found = [[tag if generator.random() < 0.8 else generator.randrange(len(names)) for tag in row] for row in gold]
    expected = conlleval(
        [([names[t] for t in one], [names[t] for t in other]) for one, other in zip(gold, found, strict=True)]
    )
    scores = EntityScores(names)
    lengths = torch.tensor([len(row) for row in gold])
    scores.update(batch(found, 17).clamp(min=0), batch(gold, 17), lengths)
    for state in ("correct", "gold", "found"):
        counts = dict(zip(scores.type_names, getattr(scores, state).tolist(), strict=False))
        assert {kind: count for kind, count in counts.items() if count} == dict(expected[state]), state
    assert scores.tokens.item() == expected["tokens"]
    assert scores.correct_tokens.item() == expected["correct_tokens"]


def update(scores: EntityScores, gold: list[int], found: list[int]) -> None:
    scores.update(torch.tensor([found]), torch.tensor([gold]), torch.tensor([len(gold)]))


def test_by_hand() -> None:
    scores = EntityScores(BIO)
    update(scores, gold=[1, 2, 0, 3, 4, 0, 1], found=[1, 2, 0, 3, 0, 3, 1])
    found = {name: value.item() for name, value in scores.compute().items()}
    assert found == pytest.approx({"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7, "accuracy": 5 / 7})
    by_type = scores.by_type()
    assert set(by_type) == {"X", "Y"}
    assert by_type["X"] == (1, 1, 1, 2, 2)
    assert by_type["Y"] == (0, 0, 0, 1, 2)
    assert scores.report().splitlines() == [
        "processed 7 tokens with 3 phrases; found: 4 phrases; correct: 2.",
        "accuracy:  71.43%; precision:  50.00%; recall:  66.67%; FB1:  57.14",
        "                X: precision: 100.00%; recall: 100.00%; FB1: 100.00  2",
        "                Y: precision:   0.00%; recall:   0.00%; FB1:   0.00  2",
    ]


def test_an_unseen_gold_tag_is_an_entity_that_none_finds() -> None:
    scores = EntityScores(BIO)
    update(scores, gold=[1, UNSEEN, UNSEEN, 0], found=[1, 2, 0, 0])
    assert scores.by_type()["<unseen>"] == (0, 0, 0, 2, 0)
    assert scores.gold.sum() == 3
    assert scores.compute()["accuracy"].item() == pytest.approx(2 / 4)
    assert scores.compute()["recall"].item() == 0  # the first entity was found too long


def test_an_unseen_part_of_speech_is_wrong_and_no_entity() -> None:
    scores = EntityScores(["NOUN", "VERB"])
    update(scores, gold=[0, UNSEEN, 1], found=[0, 0, 1])
    assert scores.compute()["accuracy"].item() == pytest.approx(2 / 3)
    assert scores.compute()["f1"].item() == 0
    assert scores.by_type() == {}


def test_an_ignored_step_is_as_if_it_were_not_there() -> None:
    with_gaps, without = EntityScores(BIO), EntityScores(BIO)
    update(with_gaps, gold=[1, IGNORED, 2, 0, IGNORED, 3], found=[1, 0, 2, 0, 3, 4])
    update(without, gold=[1, 2, 0, 3], found=[1, 2, 0, 4])
    assert with_gaps.compute() == without.compute()
    assert with_gaps.by_type() == without.by_type()
    assert with_gaps.by_type()["X"].f1 == 1


def test_parts_add_up_to_the_whole() -> None:
    torch.manual_seed(13)
    found, gold, lengths = torch.randint(5, (7, 11)), torch.randint(-1, 5, (7, 11)), torch.randint(12, (7,))
    whole, first, second = EntityScores(BIO), EntityScores(BIO), EntityScores(BIO)
    whole.update(found, gold, lengths)
    first.update(found[:3], gold[:3], lengths[:3])
    second.update(found[3:], gold[3:], lengths[3:])
    first.merge_state(second)
    assert first.compute() == whole.compute()
    assert first.report() == whole.report()


def test_padding_and_empty_batches_change_nothing() -> None:
    torch.manual_seed(17)
    found, gold, lengths = torch.randint(5, (5, 7)), torch.randint(5, (5, 7)), torch.randint(8, (5,))
    one, other = EntityScores(BIO), EntityScores(BIO)
    one.update(found, gold, lengths)
    more = torch.randint(5, (5, 3))
    other.update(torch.cat([found, more], 1), torch.cat([gold, more], 1), lengths)
    other.update(found[:, :0], gold[:, :0], torch.zeros_like(lengths))
    assert one.compute() == other.compute()
