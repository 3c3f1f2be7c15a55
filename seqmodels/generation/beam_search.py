"""Beam search: the most probable sequences, kept several at a time, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seqmodels.encoders.state import State, select_rows
from seqmodels.errors import ConfigurationError
from seqmodels.generation.beam import Beam
from seqmodels.generation.beam_options import BeamOptions
from seqmodels.generation.generate import check_forced, row_limits
from seqmodels.generation.hypothesis import Hypothesis
from seqmodels.generation.id_lists import check_ids, check_row_count
from seqmodels.generation.inclusion import Phrases, check_phrases
from seqmodels.generation.kept import Kept
from seqmodels.generation.step import Step
from seqmodels.losses import at_least_float32

AttentionReader = Callable[[State], Tensor]
"""`read(state) -> attention (rows, source_time)` of the step that gave this state, zero where the source is padded."""


@torch.no_grad()
def beam_search(
    step: Step,
    state: State,
    first_ids: Tensor,
    options: BeamOptions,
    *,
    eos_id: int | None,
    prompts: Sequence[Sequence[int]] | None = None,
    forced: Sequence[Sequence[int]] | None = None,
    must_include: Sequence[Phrases] | None = None,
    max_lengths: Sequence[int] | None = None,
    read_attention: AttentionReader | None = None,
    source_lengths: Tensor | None = None,
    keep_attention: bool = True,
) -> list[list[Hypothesis]]:
    """Searches the best sequences of each row.

    A hypothesis is complete with the end of sequence or at the maximal length. At each step the best `beam_size`
    continuations are looked at: those that end are kept if they are among the n best, and as many others go on. A row
    is done, and leaves the batch, once nothing that goes on can be ranked above the worst that is kept, or its patience
    has come to an end. What is found
    for a row does not depend on its neighbours; of equal continuations the lower id is preferred.

    Args:
        step: one step of the model.
        state: the state before `first_ids` are read, one row for each row; after the first step it is repeated
            `beam_size` times.
        first_ids: (rows,) int64, what the first step reads: the beginning of sequence, as a rule.
        options: how the beam is searched.
        eos_id: the id that ends a sequence; None if there is none.
        prompts: each row's ids before the first that is written, which the blocking of n-grams then sees; None if it is
            to see only what is written.
        forced: ids with which each row's sequence begins whatever the rules say; an empty list forces nothing.
        must_include: for each row phrases (lists of ids) that its sequences must include; a row may have none. They may
            overlap each other. If rules forbid a phrase, what is found at `max_length` is returned without it.
        max_lengths: for each row the ids to write at most, where that is fewer than `options.max_length`.
        read_attention: reads from the state where the step looked; None if there is no attention.
        source_lengths: (rows,) int64, real steps of each source; None if no source is padded.
        keep_attention: whether hypotheses come with the attention that is read, which takes memory for each step; the
            coverage penalty needs only its sum.

    Returns:
        for each row its hypotheses, best first: `n_best`, or fewer if there are no more, but one at least. Where the
        rules allow no id at all after some prefix and nothing is complete, that prefix, unfinished.

    Raises:
        ConfigurationError: an argument is not one for each row, or cannot be met within `max_length`; an id is not in
            the vocabulary; a coverage penalty without attention; the step returned NaN.

    Reference:
        see `BeamOptions` and `inclusion`.
    """
    rows = first_ids.size(0)
    check_row_count("prompts", prompts, rows)
    check_row_count("forced", forced, rows)
    check_row_count("must_include", must_include, rows)
    limits = row_limits(max_lengths, options.min_length, options.max_length, rows)
    check_forced(forced, limits)
    if options.coverage_penalty and read_attention is None:
        raise ConfigurationError(
            "coverage_penalty needs the attention of the step: give read_attention, or set it to 0"
        )
    beam = Beam.start(
        *(first_ids.device, limits, options, eos_id, prompts, forced, must_include, source_lengths, keep_attention)
    )
    expansion = torch.arange(rows, device=first_ids.device).repeat_interleave(options.beam_size)
    ids = first_ids
    for length in range(1, max(limits, default=0) + 1):
        logits, state = step(ids, state)
        if length == 1:  # up to here the hypotheses of a row are the same
            logits, state = logits.index_select(0, expansion), select_rows(state, expansion)
            _check_vocabulary(logits.size(1), options, eos_id, prompts, forced, must_include, limits)
        parents = beam.advance(at_least_float32(logits), read_attention(state) if read_attention else None)
        if parents is None:
            break
        ids, state = beam.ids[:, -1], select_rows(state, parents)
    return [_ranked(groups) for groups in beam.kept]


def _ranked(groups: list[Kept]) -> list[Hypothesis]:
    found = [hypothesis for kept in groups for hypothesis in kept.hypotheses]
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def _check_vocabulary(
    size: int,
    options: BeamOptions,
    eos_id: int | None,
    prompts: Sequence[Sequence[int]] | None,
    forced: Sequence[Sequence[int]] | None,
    must_include: Sequence[Phrases] | None,
    max_lengths: Sequence[int],
) -> None:
    check_ids("forbidden_ids", options.forbidden_ids, size)
    check_ids("eos_id", () if eos_id is None else (eos_id,), size)
    for name, given in (("prompts", prompts), ("forced", forced)):
        for row, ids in enumerate(given or ()):
            check_ids(f"{name}, row {row}", ids, size)
    check_phrases(must_include or (), eos_id=eos_id, vocab_size=size, max_lengths=max_lengths)
