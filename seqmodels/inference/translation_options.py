"""How a translation is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqmodels.errors import ConfigurationError
from seqmodels.generation import BeamOptions, GenerationOptions


@dataclass(frozen=True, kw_only=True)
class TranslationOptions:
    """How a translation is looked for.

    Args:
        beam_size: candidates that are followed at once; 1 takes the likeliest token at each step, or draws it where
            temperature is above 0.
        n_best: translations for each source, best first; at most beam_size.
        length_penalty: 0 ranks by probability, which favours short translations; 1 nearly by that of a token; above 1
            long ones are favoured.
        coverage_penalty: what source tokens that were not attended to cost; 0 costs nothing. Needs attention.
        min_length: tokens to write at least, before the end.
        max_length: tokens to write at most, the end included; None for twice those of the source and 10 more, so that a
            translation does not depend on the others of its batch.
        no_repeat_ngram: no sequence of this many tokens occurs twice in a translation; None allows it.
        groups: splits the beam into groups, each kept from the tokens of those before it, so that the n best differ
            more; divides beam_size and n_best.
        diversity: what a token that an earlier group has at the same step costs, in nats.
        patience: the search of a source ends when so many times beam_size candidates have ended; None goes on until
            nothing better can come, which takes about twice as long with a length penalty.
        temperature: 0 searches the likeliest translation; above, with beam_size 1, tokens are drawn from
            softmax(logits / temperature).
        top_k: draws from this many likeliest tokens; None from all.
        top_p: draws from the likeliest tokens that together have this probability, in (0, 1]; 1 from all.
        seed: of the random numbers; the same seed writes the same.
        allow_unknown: whether the token for unknown words may be written.
        replace_unknown: whether an unknown word is written as the source word that got most attention then; needs word
            tokenizers and attention.

    Raises:
        ConfigurationError: an option is out of range, or has no meaning together with another.

    Reference:
        see `seqmodels.generation.BeamOptions`; Luong et al. (2015), Addressing the rare word problem in neural machine
        translation, section 3 (replacing unknown words by what they are aligned with), without the dictionary.
    """

    beam_size: int = 5
    n_best: int = 1
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    min_length: int = 0
    max_length: int | None = None
    no_repeat_ngram: int | None = None
    groups: int = 1
    diversity: float = 0.5
    patience: float | None = 1.0
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 0
    allow_unknown: bool = False
    replace_unknown: bool = False

    def __post_init__(self) -> None:
        longest = self.max_length if self.max_length is not None else max(1, self.min_length)
        self.beam((), longest)
        self.drawing((), longest)
        if self.draws and self.beam_size > 1:
            raise ConfigurationError(
                f"temperature draws tokens, which has no meaning with beam_size {self.beam_size}; set beam_size to 1, "
                f"or temperature to 0"
            )
        given = {"top_k": self.top_k is not None, "top_p": self.top_p != 1}
        unmeant = [name for name, chosen in given.items() if chosen and not self.draws]
        if self.draws and self.coverage_penalty:
            unmeant.append("coverage_penalty")
        if unmeant:
            raise ConfigurationError(
                f"{unmeant[0]} has no meaning with temperature {self.temperature}; "
                f"{'leave it out' if self.draws else 'raise the temperature, with beam_size 1, to draw tokens'}"
            )

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn, rather than the likeliest translation searched."""
        return self.temperature > 0

    @property
    def writes_unknown(self) -> bool:
        """Whether the token for unknown words may be written."""
        return self.allow_unknown or self.replace_unknown

    def longest(self, source_length: int) -> int:
        """Returns how many tokens the translation of a source of so many tokens may have."""
        return self.max_length if self.max_length is not None else max(2 * source_length + 10, self.min_length)

    def beam(self, forbidden: Sequence[int], max_length: int) -> BeamOptions:
        """Returns the options of beam search, with the ids that are never written."""
        return BeamOptions(
            beam_size=self.beam_size,
            n_best=self.n_best,
            max_length=max_length,
            min_length=self.min_length,
            length_penalty=self.length_penalty,
            coverage_penalty=self.coverage_penalty,
            no_repeat_ngram=self.no_repeat_ngram,
            forbidden_ids=tuple(forbidden),
            groups=self.groups,
            diversity=self.diversity,
            patience=self.patience,
        )

    def drawing(self, forbidden: Sequence[int], max_length: int) -> GenerationOptions:
        """Returns the options of drawing tokens, with the ids that are never written."""
        return GenerationOptions(
            max_length=max_length,
            min_length=self.min_length,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            no_repeat_ngram=self.no_repeat_ngram,
            forbidden_ids=tuple(forbidden),
            seed=self.seed,
        )
