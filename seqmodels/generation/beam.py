"""The hypotheses that beam search follows: one step makes longer ones of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from seqmodels.errors import ConfigurationError
from seqmodels.generation.beam_options import BeamOptions
from seqmodels.generation.hypothesis import Hypothesis
from seqmodels.generation.id_lists import NO_ID, left_padded, right_padded
from seqmodels.generation.inclusion import Inclusion, Phrases, share_among_stages
from seqmodels.generation.kept import Kept
from seqmodels.generation.logits import block_ngrams, forbid, force
from seqmodels.generation.normalizing import log_normalizer
from seqmodels.generation.ranking import top


class _Choice(NamedTuple):
    """What a group looks at (sentences, choices), best first: ids, their log probabilities, where they come from."""

    rows: Tensor
    ids: Tensor
    log_probs: Tensor
    scores: Tensor


@dataclass
class Beam:
    """The sentences that are still searched, each with its beam; a row is one hypothesis.

    `scores` (sentences, groups, beam) are log probabilities, -inf where a beam has nothing; rows are these flattened.
    `ids` and `log_probs` (rows, time) are what was written, `attention` (rows, time, source_time) where it looked,
    `prompts` and `forced` (sentences, time), `sentences` the number of each, `max_lengths` how many ids each may have,
    and `kept` the complete hypotheses of all.
    """

    options: BeamOptions
    eos_id: int | None
    sentences: list[int]
    max_lengths: list[int]
    scores: Tensor
    ids: Tensor
    log_probs: Tensor
    attention: Tensor | None
    coverage: Tensor | None
    source_lengths: Tensor | None
    prompts: Tensor
    forced: Tensor
    inclusion: Inclusion | None
    kept: list[list[Kept]]
    keeps_attention: bool

    @classmethod
    def start(
        cls,
        device: torch.device,
        max_lengths: Sequence[int],
        options: BeamOptions,
        eos_id: int | None,
        prompts: Sequence[Sequence[int]] | None,
        forced: Sequence[Sequence[int]] | None,
        must_include: Sequence[Phrases] | None,
        source_lengths: Tensor | None,
        keep_attention: bool,
    ) -> Beam:
        """Returns the search before the first step: one empty hypothesis in each group."""
        size, sentences = options.beam_size, len(max_lengths)
        # float64: a sum of a hundred log probabilities would lose in float32 what tells two hypotheses apart
        precise = torch.float32 if device.type == "mps" else torch.float64
        scores = torch.full((sentences, options.groups, size // options.groups), -torch.inf, dtype=precise)
        scores[:, :, 0] = 0
        constrained = any(must_include or ())
        return cls(
            options=options,
            eos_id=eos_id,
            sentences=list(range(sentences)),
            max_lengths=list(max_lengths),
            scores=scores.to(device),
            ids=torch.zeros(sentences * size, 0, dtype=torch.int64, device=device),
            log_probs=torch.zeros(sentences * size, 0, dtype=precise, device=device),
            attention=None,
            coverage=None,
            source_lengths=None if source_lengths is None else source_lengths.repeat_interleave(size),
            prompts=left_padded(prompts or [[]] * sentences, device),
            forced=right_padded(forced or [[]] * sentences, device),
            inclusion=Inclusion.start([row for row in must_include or () for _ in range(size)], device)
            if constrained
            else None,
            kept=[[Kept(options.n_best // options.groups) for _ in range(options.groups)] for _ in range(sentences)],
            keeps_attention=keep_attention,
        )

    def advance(self, logits: Tensor, attention: Tensor | None) -> Tensor | None:
        """Writes an id to each hypothesis that is worth it.

        Args:
            logits: (rows, vocab_size) of the step.
            attention: (rows, source_time) of the step, if it is read.

        Returns:
            the row (rows,) that each of the hypotheses goes on from, or None if all sentences are done.
        """
        self._look(attention)
        candidate_ids, log_probs = self._candidates(logits)
        choices = self._choose(candidate_ids, log_probs)
        last = [self.ids.size(1) + 1 == length for length in self.max_lengths]
        for group, choice in enumerate(choices):
            self._keep_complete(group, choice, last)
        going_on = [self._live(choice) for choice in choices]
        scores = torch.stack([choice.scores for choice in going_on], 1)  # (sentences, groups, beam)
        searching = self._searching(scores, last)
        if not searching:
            return None
        index = torch.tensor(searching, device=scores.device)
        parents = torch.stack([choice.rows for choice in going_on], 1).index_select(0, index).flatten()
        written = torch.stack([choice.ids for choice in going_on], 1).index_select(0, index).flatten()
        gained = torch.stack([choice.log_probs for choice in going_on], 1).index_select(0, index).flatten()
        self._write(index, parents, written, gained)
        self.scores = scores.index_select(0, index)
        return parents

    def _look(self, attention: Tensor | None) -> None:
        if attention is None:
            return
        if self.keeps_attention:
            looked = attention.unsqueeze(1)
            self.attention = looked if self.attention is None else torch.cat([self.attention, looked], 1)
        if self.options.coverage_penalty:
            self.coverage = attention if self.coverage is None else self.coverage + attention

    def _candidates(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the ids that may come next and their log probabilities, (rows, candidates); -inf is impossible."""
        options = self.options
        # one more than a group holds, for the end of sequence; and as many as the other groups can make unattractive
        count = self.scores.size(2) + 1 + (options.beam_size if options.groups > 1 else 0)
        normalizer = log_normalizer(logits).to(self.scores.dtype).unsqueeze(1)
        self._check(normalizer)
        never = self._never()
        plain = self.inclusion is None and options.no_repeat_ngram is None and self.ids.size(1) >= self.forced.size(1)
        if plain and len(never) <= count:
            # a few more, and those that may not come left out: a copy of all logits to mark these would cost more
            values, ids = top(logits, count + len(never))
            for number in never:
                values = values.masked_fill(ids == number, -torch.inf)
            values, order = values.sort(dim=1, descending=True, stable=True)
            values, ids = values[:, :count], ids.gather(1, order[:, :count])
            return ids, values.to(self.scores.dtype) - normalizer
        allowed = self._rule(logits)
        values, ids = top(allowed, count)
        if self.inclusion is not None:
            needed = self.inclusion.next_ids()
            known = (needed.unsqueeze(2) == ids.unsqueeze(1)).any(2)
            twice = (needed.unsqueeze(2) == needed.unsqueeze(1)).tril(-1).any(2)
            more = allowed.gather(1, needed.clamp(min=0)).masked_fill(known | twice | (needed == NO_ID), -torch.inf)
            values, ids = torch.cat([values, more], 1), torch.cat([ids, needed.clamp(min=0)], 1)
        return ids, values.to(self.scores.dtype) - normalizer

    def _never(self) -> list[int]:
        """Returns the ids that no row may write now."""
        never = list(self.options.forbidden_ids)
        if self.eos_id is not None and self.ids.size(1) < self.options.min_length:
            never.append(self.eos_id)
        return never

    def _rule(self, logits: Tensor) -> Tensor:
        """Returns the logits (rows, vocab_size) with -inf for what the rules forbid."""
        options, length, unruled = self.options, self.ids.size(1), logits
        if options.no_repeat_ngram is not None:
            history = torch.cat([self.prompts.repeat_interleave(options.beam_size, 0), self.ids], 1)
            logits = block_ngrams(logits, history, options.no_repeat_ngram)
        never = self._never()
        if never:
            logits = forbid(logits, torch.tensor(never, device=logits.device))
        if self.inclusion is not None and self.eos_id is not None:
            logits = logits.index_put(
                ((~self.inclusion.complete).nonzero().squeeze(1), torch.tensor(self.eos_id, device=logits.device)),
                logits.new_tensor(-torch.inf),
            )
        if length < self.forced.size(1):
            given = self.forced[:, length].repeat_interleave(options.beam_size)
            logits = force(torch.where((given >= 0).unsqueeze(1), unruled, logits), given)
        return logits

    def _choose(self, ids: Tensor, log_probs: Tensor) -> list[_Choice]:
        """Returns for each group the best continuations, up to twice as many as the group holds."""
        sentences, groups, beam = self.scores.shape
        count = ids.size(1)
        totals = self.scores.unsqueeze(3) + log_probs.view(sentences, groups, beam, count)
        first_rows = torch.arange(sentences, device=ids.device).unsqueeze(1) * (groups * beam)
        stages = None if self.inclusion is None else self.inclusion.stages(ids).view(sentences, groups, -1)
        ids, log_probs = ids.view(sentences, groups, -1), log_probs.view(sentences, groups, -1)
        taken = ids.new_zeros(sentences, 0)
        choices = []
        for group in range(groups):
            total = totals[:, group].flatten(1)  # (sentences, beam * candidates)
            ranked = total
            if group:
                earlier = (ids[:, group].unsqueeze(2) == taken.unsqueeze(1)).sum(2)
                ranked = total - self.options.diversity * earlier
            if stages is None:
                order = top(ranked, 2 * beam)[1]
            else:
                order = share_among_stages(ranked, stages[:, group], 2 * beam)
            choice = _Choice(
                first_rows + group * beam + order // count,
                ids[:, group].gather(1, order),
                log_probs[:, group].gather(1, order),
                total.gather(1, order),
            )
            choices.append(choice)
            if groups > 1:
                taken = torch.cat([taken, self._taken(choice)], 1)
        return choices

    def _taken(self, choice: _Choice) -> Tensor:
        """Returns the ids (sentences, ids) that a group writes or ends with, which others are to avoid; -1 for none."""
        live = self._live(choice)
        ending = choice.ids[:, : self.scores.size(2)]
        ending = torch.where(ending == self.eos_id, ending, NO_ID) if self.eos_id is not None else ending[:, :0]
        return torch.cat([live.ids.masked_fill(live.scores == -torch.inf, NO_ID), ending], 1)

    def _live(self, choice: _Choice) -> _Choice:
        """Returns the best continuations (sentences, beam) that do not end; the score of what is missing is -inf."""
        beam = self.scores.size(2)
        ending = (
            choice.ids == self.eos_id if self.eos_id is not None else torch.zeros_like(choice.ids, dtype=torch.bool)
        )
        first = ending.to(torch.uint8).sort(dim=1, stable=True).indices[:, :beam]
        scores = choice.scores.masked_fill(ending, -torch.inf).gather(1, first)
        return _Choice(
            choice.rows.gather(1, first), choice.ids.gather(1, first), choice.log_probs.gather(1, first), scores
        )

    def _keep_complete(self, group: int, choice: _Choice, last: list[bool]) -> None:
        """Keeps what ends among a group's best continuations; of a sentence at its maximal length, all of them."""
        choice = _Choice(*(part[:, : self.scores.size(2)] for part in choice))
        if self.eos_id is None and not any(last):
            return
        ends = torch.zeros_like(choice.ids, dtype=torch.bool) if self.eos_id is None else choice.ids == self.eos_id
        if any(last):
            ends = ends | torch.tensor(last, device=ends.device).unsqueeze(1)
        complete = ends & (choice.scores > -torch.inf)
        places, columns = complete.nonzero(as_tuple=True)
        if not len(places):
            return
        rows, ids, log_probs, scores = (part[places, columns] for part in choice)
        included = torch.ones_like(rows, dtype=torch.bool)
        if any(last) and self.inclusion is not None:
            after = self.inclusion.select(rows)
            after.write(ids)
            included = after.complete
        ranked = scores / self.options.normalizer(self.ids.size(1) + 1)
        if self.coverage is not None:
            lengths = None if self.source_lengths is None else self.source_lengths[rows]
            ranked = ranked + self.options.uncovered(self.coverage[rows], lengths)
        found = zip(
            places.tolist(),
            rows.tolist(),
            ids.tolist(),
            log_probs.tolist(),
            ranked.tolist(),
            included.tolist(),
            strict=True,
        )
        lacking = set()
        for place, row, number, log_prob, score, includes in sorted(found, key=lambda entry: not entry[5]):
            kept = self.kept[self.sentences[place]][group]
            kept.ended += 1
            if not includes and kept.hypotheses and place not in lacking:
                continue  # what lacks a phrase is kept only where nothing includes all
            if not includes:
                lacking.add(place)
            if score > kept.worst:
                kept.add(self._hypothesis(row, [number], [log_prob], score))

    def _hypothesis(self, row: int, ids: list[int], log_probs: list[float], score: float) -> Hypothesis:
        attention = None
        if self.attention is not None:
            attention = self.attention[row, : self.ids.size(1) + len(ids)]
            if self.source_lengths is not None:
                attention = attention[:, : int(self.source_lengths[row])]
            attention = attention.clone()
        ids, log_probs = self.ids[row].tolist() + ids, self.log_probs[row].tolist() + log_probs
        finished = bool(ids) and ids[-1] == self.eos_id
        return Hypothesis(ids, log_probs, score, finished, attention)

    def _searching(self, scores: Tensor, last: list[bool]) -> list[int]:
        """Returns the places of the sentences that go on; one that is stuck with nothing keeps what it has.

        Those at their last id do not, nor those that have ended often enough for the search's patience.

        No log probability is above 0 and no normalizer above that of the maximal length, so `best / normalizer` is the
        best score that can still come.
        """
        best = scores.amax(2).tolist()
        enough = math.inf if self.options.patience is None else self.options.patience * scores.size(2)
        searching = []
        for place, (sentence, groups) in enumerate(zip(self.sentences, best, strict=True)):
            normalizer = self.options.normalizer(self.max_lengths[place])
            open_groups = False
            for group, score in enumerate(groups):
                kept = self.kept[sentence][group]
                if score == -math.inf and not kept.hypotheses:
                    self._keep_stuck(place, group, kept)
                may_improve = kept.ended < enough and score / normalizer > kept.worst
                open_groups = open_groups or may_improve
            if open_groups and not last[place]:
                searching.append(place)
        return searching

    def _keep_stuck(self, place: int, group: int, kept: Kept) -> None:
        _, groups, beam = self.scores.shape
        for column, score in enumerate(self.scores[place, group].tolist()):
            if score > -math.inf:
                row = (place * groups + group) * beam + column
                kept.add(self._hypothesis(row, [], [], score / self.options.normalizer(self.ids.size(1))))

    def _check(self, normalizer: Tensor) -> None:
        """Checks that what the logits sum to (rows, 1) is a number."""
        broken = ~normalizer.isfinite().view_as(self.scores) & (self.scores > -torch.inf)
        if bool(broken.any()):
            row = self.sentences[int(broken.flatten(1).any(1).nonzero()[0])]
            raise ConfigurationError(
                f"row {row}, id {self.ids.size(1) + 1}: the step returned logits that are NaN or infinite; "
                f"look for NaN in the weights or in the state"
            )

    def _write(self, index: Tensor, parents: Tensor, ids: Tensor, log_probs: Tensor) -> None:
        """Lets sentences other than `index` leave, and writes an id to each row."""
        places = index.tolist()
        self.sentences = [self.sentences[place] for place in places]
        self.max_lengths = [self.max_lengths[place] for place in places]
        self.ids = torch.cat([self.ids.index_select(0, parents), ids.unsqueeze(1)], 1)
        self.log_probs = torch.cat([self.log_probs.index_select(0, parents), log_probs.unsqueeze(1)], 1)
        self.attention, self.coverage, self.source_lengths = (
            None if part is None else part.index_select(0, parents)
            for part in (self.attention, self.coverage, self.source_lengths)
        )
        self.prompts, self.forced = self.prompts.index_select(0, index), self.forced.index_select(0, index)
        if self.inclusion is not None:
            self.inclusion = self.inclusion.select(parents)
            self.inclusion.write(ids)
