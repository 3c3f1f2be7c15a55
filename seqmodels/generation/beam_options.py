"""The options of beam search, and the penalties by which it ranks hypotheses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from seqmodels.errors import ConfigurationError
from seqmodels.generation.generate import check_lengths, check_ngram
from seqmodels.masking import lengths_to_mask


@dataclass(frozen=True, kw_only=True)
class BeamOptions:
    """How a beam is searched.

    A hypothesis Y of a source X is ranked by `log p(Y | X) / ((5 + |Y|) / 6) ** length_penalty
    + coverage_penalty * sum_i log(min(sum_j attention_ji, 1))`, where |Y| counts the end of sequence.

    Args:
        beam_size: hypotheses that are kept at each step; 1 is greedy. Time and memory grow with it.
        n_best: hypotheses returned for each row, at most `beam_size`.
        max_length: ids to write at most, the end of sequence included.
        min_length: ids to write before the end of sequence is allowed.
        length_penalty: 0 ranks by probability, which favours short hypotheses; up to 1 favours longer ones.
        coverage_penalty: how much source steps that were not attended to cost; 0 costs nothing. Needs attention.
        no_repeat_ngram: no sequence of this many ids occurs twice in a hypothesis, its prompt included; null allows it.
        forbidden_ids: ids that are never written.
        groups: splits the beam into groups that are searched one after the other, each kept from the ids of those
            before it; divides `beam_size` and `n_best`, and each group gives its share of the n best, among which the
            same hypothesis may then be twice. 1 is plain.
        patience: a row, or group, is done when so many times its width of hypotheses have ended; 1 is what most
            toolkits do. null goes on until nothing can be ranked above the worst that is kept, which a length penalty
            puts off until long after all that is likely has ended.
        diversity: what an id costs in nats for each hypothesis of an earlier group that has it at the same step.

    Raises:
        ConfigurationError: an option is out of range or does not fit the others.

    Reference:
        Wu et al. (2016), Google's neural machine translation system, section 7 (penalties; coverage is used in the
        ranking alone, without pruning); Kasai et al. (2024), A call for clarity in beam search: how it works and when
        it stops, section 2 (patience; here the beam keeps its width when hypotheses end); Vijayakumar et al. (2018),
        Diverse beam search, section 4.1 (Hamming diversity, which decides what is kept and not how it is ranked).
    """

    beam_size: int = 5
    n_best: int = 1
    max_length: int = 100
    min_length: int = 0
    length_penalty: float = 0.0
    coverage_penalty: float = 0.0
    no_repeat_ngram: int | None = None
    forbidden_ids: tuple[int, ...] = ()
    groups: int = 1
    diversity: float = 0.5
    patience: float | None = None

    def __post_init__(self) -> None:
        check_lengths(self.min_length, self.max_length)
        check_ngram(self.no_repeat_ngram)
        if self.beam_size < 1:
            raise ConfigurationError(f"beam_size must be at least 1, got {self.beam_size}")
        if not 1 <= self.n_best <= self.beam_size:
            raise ConfigurationError(f"n_best must be in [1, beam_size={self.beam_size}], got {self.n_best}")
        if self.groups < 1 or self.beam_size % self.groups or self.n_best % self.groups:
            raise ConfigurationError(
                f"groups must divide beam_size={self.beam_size} and n_best={self.n_best}, got {self.groups}"
            )
        if self.patience is not None and not 0 < self.patience < math.inf:
            raise ConfigurationError(f"patience must be above 0, or null to search on, got {self.patience}")
        for name in ("length_penalty", "coverage_penalty", "diversity"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigurationError(f"{name} must be 0 or above, got {value}")

    def normalizer(self, length: int) -> float:
        """Returns what the log probability of a hypothesis of that many ids is divided by: it grows with length."""
        return float(((5 + length) / 6) ** self.length_penalty)

    def uncovered(self, coverage: Tensor, source_lengths: Tensor | None) -> Tensor:
        """Returns the coverage term of the score (rows,), at most 0.

        Args:
            coverage: (rows, source_time), the attention that each source step got in all.
            source_lengths: (rows,) int64; None if no source is padded.
        """
        covered = coverage.clamp(min=1e-30, max=1).log()
        if source_lengths is not None:
            covered = covered.masked_fill(~lengths_to_mask(source_lengths, coverage.size(1)), 0)
        return self.coverage_penalty * covered.sum(1)
