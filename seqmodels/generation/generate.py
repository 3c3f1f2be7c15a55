"""Writing sequences id by id, each the best or a random one: whole, or as a stream while they are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import torch
from torch import Tensor

from seqmodels.encoders.state import State, select_rows
from seqmodels.errors import ConfigurationError
from seqmodels.generation.hypothesis import Hypothesis
from seqmodels.generation.id_lists import check_ids, check_row_count, left_padded, right_padded
from seqmodels.generation.logits import block_ngrams, forbid, penalize_repetition
from seqmodels.generation.normalizing import exponentials, log_normalizer
from seqmodels.generation.sampling import best_ids, sample_by_weight, sample_ids, uniforms
from seqmodels.generation.step import Step
from seqmodels.losses import at_least_float32

Stop = Callable[[int, list[int]], bool]
"""`stops(row, ids so far) -> bool`: tells whether a row has come to its end."""


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How ids are chosen one after the other.

    Args:
        max_length: ids to write at most, the end of sequence included.
        min_length: ids to write before the end of sequence is allowed.
        temperature: 0 always takes the most probable id; above, ids are drawn from softmax(logits / temperature).
        top_k: draws from this many most probable ids; null from all.
        top_p: draws from the most probable ids that together have this probability, in (0, 1]; 1 from all.
        repetition_penalty: above 1, ids of the prompt and of what was written get less likely; 1 leaves them.
        no_repeat_ngram: no sequence of this many ids occurs twice, the prompt included; null allows it.
        forbidden_ids: ids that are never written.
        seed: of the random numbers; the same seed writes the same.

    Raises:
        ConfigurationError: an option is out of range.
    """

    max_length: int = 100
    min_length: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int | None = None
    forbidden_ids: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        check_lengths(self.min_length, self.max_length)
        if not 0 <= self.temperature < math.inf:
            raise ConfigurationError(f"temperature must be 0 (the best id) or above, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigurationError(f"top_k must be at least 1, or None for all ids, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ConfigurationError(f"top_p must be in (0, 1], got {self.top_p}")
        if not 0 < self.repetition_penalty < math.inf:
            raise ConfigurationError(f"repetition_penalty must be above 0, got {self.repetition_penalty}")
        check_ngram(self.no_repeat_ngram)

    @property
    def reads_history(self) -> bool:
        """Tells whether what was written before matters to the rules."""
        return self.repetition_penalty != 1 or self.no_repeat_ngram is not None


def check_lengths(min_length: int, max_length: int) -> None:
    """Checks the lengths that a decoder may write.

    Raises:
        ConfigurationError: they are out of range, or contradict each other.
    """
    if max_length < 1:
        raise ConfigurationError(f"max_length must be at least 1, got {max_length}")
    if not 0 <= min_length <= max_length:
        raise ConfigurationError(f"min_length must be in [0, max_length={max_length}], got {min_length}")


def check_ngram(size: int | None) -> None:
    """Checks the size of the n-grams that may not occur twice.

    Raises:
        ConfigurationError: it is not positive.
    """
    if size is not None and size < 1:
        raise ConfigurationError(f"no_repeat_ngram must be at least 1, or None to allow repetition, got {size}")


class Written(NamedTuple):
    """What one step wrote, for each of the rows that it wrote to, in ascending order.

    Args:
        rows: the places of the rows in `first_ids`.
        ids: the id written to each.
        log_probs: the model's log probability of it in nats, before any rule or temperature.
        finished: whether this ended the row, by the end of sequence or by a stop.
    """

    rows: list[int]
    ids: list[int]
    log_probs: list[float]
    finished: list[bool]

    def where(self, chosen: list[bool]) -> Written:
        """Returns what was written to the rows for which `chosen` has True."""
        rows, ids = list(compress(self.rows, chosen)), list(compress(self.ids, chosen))
        return Written(rows, ids, list(compress(self.log_probs, chosen)), list(compress(self.finished, chosen)))


def generate(
    step: Step,
    state: State,
    first_ids: Tensor,
    options: GenerationOptions,
    *,
    eos_id: int | None,
    prompts: Sequence[Sequence[int]] | None = None,
    forced: Sequence[Sequence[int]] | None = None,
    stops: Stop | None = None,
    max_lengths: Sequence[int] | None = None,
    row_numbers: Sequence[int] | None = None,
) -> list[Hypothesis]:
    """Writes one sequence for each row.

    The arguments are those of `stream`. For several samples of a row, repeat it in `first_ids` and, by `select_rows`,
    in the state.

    Returns:
        a hypothesis for each row, in their order.

    Raises:
        ConfigurationError: see `stream`.
    """
    rows = first_ids.size(0)
    ids: list[list[int]] = [[] for _ in range(rows)]
    log_probs: list[list[float]] = [[] for _ in range(rows)]
    ended = [False] * rows
    steps = stream(
        step,
        state,
        first_ids,
        options,
        eos_id=eos_id,
        prompts=prompts,
        forced=forced,
        stops=stops,
        max_lengths=max_lengths,
        row_numbers=row_numbers,
    )
    for written in steps:
        for row, number, log_prob, finished in zip(*written, strict=True):
            ids[row].append(number)
            log_probs[row].append(log_prob)
            ended[row] = finished
    return [Hypothesis(ids[row], log_probs[row], sum(log_probs[row]), ended[row]) for row in range(rows)]


def stream(
    step: Step,
    state: State,
    first_ids: Tensor,
    options: GenerationOptions,
    *,
    eos_id: int | None,
    prompts: Sequence[Sequence[int]] | None = None,
    forced: Sequence[Sequence[int]] | None = None,
    stops: Stop | None = None,
    max_lengths: Sequence[int] | None = None,
    row_numbers: Sequence[int] | None = None,
) -> Iterator[Written]:
    """Writes one sequence for each row, and hands out what is written after each step.

    Rows that have ended leave the batch. What is written to a row does not depend on its neighbours. A row to which
    the rules allow no id ends there, unfinished.

    Args:
        step: one step of the model.
        state: the state before `first_ids` are read.
        first_ids: (rows,) int64, what the first step reads: the beginning of sequence, or the last id of a prompt
            whose others the state has read.
        options: how ids are chosen.
        eos_id: the id that ends a row; None if there is none.
        prompts: each row's ids before the first that is written, which the repetition penalty and the blocking of
            n-grams then see; None if they are to see only what is written.
        forced: ids with which each row begins whatever the rules say; an empty list forces nothing.
        stops: asked after each id whether the row ends with it, for stop words over text.
        max_lengths: for each row the ids to write at most, where that is fewer than `options.max_length`.
        row_numbers: a number for each row, on which its random numbers depend; 0, 1, … by default.

    Yields:
        the ids written by one step; rows that no id was allowed to are not among them.

    Raises:
        ConfigurationError: prompts, forced, max_lengths or row_numbers are not one for each row; a forced prefix is
            longer than its row may be; a row may not have one id, or min_length of them; an id is not in the
            vocabulary; the step returned NaN.
    """
    rows = first_ids.size(0)
    for name, given in (("prompts", prompts), ("forced", forced), ("row_numbers", row_numbers)):
        check_row_count(name, given, rows)
    limits = row_limits(max_lengths, options.min_length, options.max_length, rows)
    check_forced(forced, limits)
    writer = _Writer(
        rows=list(range(rows)),
        numbers=list(row_numbers) if row_numbers is not None else list(range(rows)),
        history=left_padded(prompts or [[]] * rows, first_ids.device),
        forced=right_padded(forced or [[]] * rows, first_ids.device),
        max_lengths=limits,
        written=[[] for _ in range(rows)],
        options=options,
        eos_id=eos_id,
        stops=stops,
    )
    return _write(writer, step, state, first_ids)


def row_limits(max_lengths: Sequence[int] | None, min_length: int, max_length: int, rows: int) -> list[int]:
    """Returns how many ids each row may have.

    Raises:
        ConfigurationError: there is not one entry for each row, or one is below 1 or `min_length`.
    """
    check_row_count("max_lengths", max_lengths, rows)
    limits = [max_length] * rows if max_lengths is None else [min(length, max_length) for length in max_lengths]
    for row, limit in enumerate(limits):
        if limit < max(1, min_length):
            raise ConfigurationError(
                f"max_lengths: row {row} must be at least {max(1, min_length)}, which is "
                f"{'min_length' if min_length > 1 else 'one id'}, got {limit}"
            )
    return limits


def check_forced(forced: Sequence[Sequence[int]] | None, max_lengths: Sequence[int]) -> None:
    """Checks that each forced prefix can be written.

    Raises:
        ConfigurationError: one is too long.
    """
    for row, (ids, max_length) in enumerate(zip(forced or (), max_lengths, strict=False)):
        if len(ids) > max_length:
            raise ConfigurationError(
                f"forced: row {row} begins with {len(ids)} given ids, but max_length is {max_length}; raise it"
            )


@torch.no_grad()
def _write(writer: _Writer, step: Step, state: State, ids: Tensor) -> Iterator[Written]:
    for length in range(max(writer.max_lengths, default=0)):
        logits, state = step(ids, state)
        if length == 0:
            writer.check(logits)
        ids, possible, written = writer.choose(at_least_float32(logits), length)
        going_on = writer.record(written, possible, length + 1)
        if any(possible):
            yield written.where(possible)
        if not going_on:
            return
        if len(going_on) < ids.size(0):
            index = torch.tensor(going_on, device=ids.device)
            ids, state = ids.index_select(0, index), select_rows(state, index)
            writer.keep(going_on, index)


@dataclass
class _Writer:
    """The rows that are still written to: what they have, and what may come next.

    `history` and `forced` are (rows, time) int64; lists are one entry a row, but `written` is by first place.
    """

    rows: list[int]
    numbers: list[int]
    history: Tensor
    forced: Tensor
    max_lengths: list[int]
    written: list[list[int]]
    options: GenerationOptions
    eos_id: int | None
    stops: Stop | None

    def check(self, logits: Tensor) -> None:
        """Checks all ids that were given against the vocabulary."""
        size = logits.size(1)
        check_ids("forbidden_ids", self.options.forbidden_ids, size)
        check_ids("eos_id", () if self.eos_id is None else (self.eos_id,), size)
        check_ids("forced", self.forced[self.forced >= 0].tolist(), size)
        check_ids("prompts", self.history[self.history >= 0].tolist(), size)

    def choose(self, logits: Tensor, length: int) -> tuple[Tensor, list[bool], Written]:
        """Returns an id for each row (rows,), whether it is allowed, and the same as lists."""
        options = self.options
        drawn = self._draw_plainly(logits, length)
        if drawn is not None:
            return self._written(*drawn, length)
        ruled = self._rule(logits, length)
        if options.temperature == 0:
            ids = best_ids(ruled)
        else:
            ids = sample_ids(
                ruled,
                uniforms(options.seed, self.numbers, length, logits.device),
                temperature=options.temperature,
                top_k=options.top_k,
                top_p=options.top_p,
            )
        allowed = ruled.gather(1, ids.unsqueeze(1)).squeeze(1) > -torch.inf
        return self._written(ids, allowed, logits, log_normalizer(logits), length)

    def _draw_plainly(self, logits: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """Draws where no rule needs more than to leave out ids, in fewer passes over the vocabulary.

        Returns:
            ids (rows,), whether they are allowed (rows,), the logits and what normalizes them (rows,); None where it
            takes the long way.
        """
        options = self.options
        if options.temperature != 1 or options.top_k is not None or options.reads_history:
            return None
        weights, normalizer = exponentials(logits)
        for number in self._never(length):
            weights[:, number] = 0
        randoms = uniforms(options.seed, self.numbers, length, logits.device)
        ids = sample_by_weight(weights, randoms, top_p=options.top_p)
        drawn = (weights.gather(1, ids.unsqueeze(1)).squeeze(1) > 0) & normalizer.isfinite()
        if not bool(drawn.all()):  # what may be written has underflowed, or there is nothing, or NaN
            return None
        return ids, torch.ones_like(ids, dtype=torch.bool), logits, normalizer

    def _written(
        self, ids: Tensor, allowed: Tensor, logits: Tensor, normalizer: Tensor, length: int
    ) -> tuple[Tensor, list[bool], Written]:
        """Lets what is forced take the place of what was chosen, and takes note of it."""
        options = self.options
        if length < self.forced.size(1):
            given = self.forced[:, length]
            ids, allowed = torch.where(given >= 0, given, ids), allowed | (given >= 0)
        log_probs = logits.gather(1, ids.unsqueeze(1)).squeeze(1) - normalizer
        if options.reads_history:
            self.history = torch.cat([self.history, ids.unsqueeze(1)], 1)
        written = Written(self.rows, ids.tolist(), log_probs.tolist(), [])
        for row, log_prob in zip(self.rows, written.log_probs, strict=True):
            if math.isnan(log_prob):
                raise ConfigurationError(
                    f"row {row}, id {length + 1}: the step returned logits that are NaN or infinite; "
                    f"look for NaN in the weights or in the state"
                )
        return ids, allowed.tolist(), written

    def _rule(self, logits: Tensor, length: int) -> Tensor:
        options = self.options
        if options.repetition_penalty != 1:
            logits = penalize_repetition(logits, self.history, options.repetition_penalty)
        if options.no_repeat_ngram is not None:
            logits = block_ngrams(logits, self.history, options.no_repeat_ngram)
        never = self._never(length)
        return forbid(logits, torch.tensor(never, device=logits.device)) if never else logits

    def _never(self, length: int) -> list[int]:
        """Returns the ids that no row may write now."""
        never = list(self.options.forbidden_ids)
        if self.eos_id is not None and length < self.options.min_length:
            never.append(self.eos_id)
        return never

    def record(self, written: Written, allowed: list[bool], length: int) -> list[int]:
        """Fills in which rows, now of `length` ids, have finished; returns the places of those that go on."""
        going_on = []
        for place, (row, number) in enumerate(zip(written.rows, written.ids, strict=True)):
            finished = number == self.eos_id
            if self.stops is not None and allowed[place]:
                self.written[row].append(number)
                finished = self.stops(row, self.written[row]) or finished
            written.finished.append(finished)
            if allowed[place] and not finished and length < self.max_lengths[place]:
                going_on.append(place)
        return going_on

    def keep(self, places: list[int], index: Tensor) -> None:
        """Lets all rows but those at `places` leave."""
        self.rows = [self.rows[place] for place in places]
        self.numbers = [self.numbers[place] for place in places]
        self.max_lengths = [self.max_lengths[place] for place in places]
        self.history, self.forced = self.history.index_select(0, index), self.forced.index_select(0, index)
