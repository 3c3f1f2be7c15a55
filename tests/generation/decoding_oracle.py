"""A small recurrent step whose state is nested, and the enumeration of all that it can write."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

VOCAB, HIDDEN = 5, 7
EOS = 0
State = Any


class RecurrentStep:
    """`h = tanh(E[id] + U h)`, logits `scale * V h`, in float64; remembers how many rows each call had."""

    def __init__(self, seed: int = 3, *, vocab: int = VOCAB, scale: float = 1.5, eos_bonus: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        normal = {"generator": generator, "dtype": torch.float64}
        self.embedding = torch.randn(vocab, HIDDEN, **normal)
        self.recurrent = torch.randn(HIDDEN, HIDDEN, **normal) / HIDDEN**0.5
        self.output = scale * torch.randn(HIDDEN, vocab, **normal)
        self.bias = torch.zeros(vocab, dtype=torch.float64)
        self.bias[EOS] = eos_bonus
        self.seen: list[int] = []

    def start(self, rows: int, seed: int = 5) -> State:
        """Returns a state that is another for each row, and the same for a row whatever the number of rows."""
        numbers = torch.arange(1, rows + 1, dtype=torch.float64).unsqueeze(1)
        hidden = torch.sin(numbers * torch.arange(seed, seed + HIDDEN, dtype=torch.float64))
        return {
            "hidden": (hidden, [torch.zeros(rows, 2, 3)]),
            "count": torch.zeros(rows, dtype=torch.int64),
            "no": None,
        }

    def __call__(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, [other] = state["hidden"]
        assert len(ids) == len(hidden) == len(other) == len(state["count"])
        self.seen.append(len(ids))
        # products row by row: a matrix product may round otherwise in another batch
        hidden = torch.tanh(self.embedding[ids] + (hidden.unsqueeze(2) * self.recurrent).sum(1))
        logits = (hidden.unsqueeze(2) * self.output).sum(1) + self.bias
        return logits, {"hidden": (hidden, [other + 1]), "count": state["count"] + 1, "no": None}

    def attention(self, state: State) -> Tensor:
        """Returns what looks like attention over three source steps."""
        return state["hidden"][0][:, :3].mul(2).softmax(1)


def select(state: State, row: int) -> State:
    """Returns one row of the state."""
    hidden, [other] = state["hidden"]
    one = slice(row, row + 1)
    return {"hidden": (hidden[one], [other[one]]), "count": state["count"][one], "no": None}


def log_probs_of(step: Any, state: State, first_id: int, ids: tuple[int, ...]) -> list[float]:
    """Returns the log probability of each id, for one row."""
    found, current = [], first_id
    for number in ids:
        logits, state = step(torch.tensor([current]), state)
        found.append(logits.log_softmax(1)[0, number].item())
        current = number
    return found


def complete_sequences(vocab: int, max_length: int, min_length: int = 0) -> list[tuple[int, ...]]:
    """Returns all that end with the end of sequence, and those cut at the maximal length."""
    words = [number for number in range(vocab) if number != EOS]
    ended = [(*body, EOS) for size in range(min_length, max_length) for body in itertools.product(words, repeat=size)]
    return ended + list(itertools.product(words, repeat=max_length))


def enumerate_best(
    step: Any, state: State, first_id: int, *, max_length: int, length_penalty: float = 0.0, vocab: int = VOCAB
) -> list[tuple[float, tuple[int, ...]]]:
    """Returns score and ids of all complete sequences of one row, best first."""
    scored = []
    for ids in complete_sequences(vocab, max_length):
        total = sum(log_probs_of(step, state, first_id, ids))
        scored.append((total / ((5 + len(ids)) / 6) ** length_penalty, ids))
    return sorted(scored, reverse=True)
