"""Translations of a batch: the sources read, the targets searched or drawn, and what was found put into words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqmodels.data.batch import Batch
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.encoders import State, select_rows
from seqmodels.errors import ConfigurationError
from seqmodels.generation import Hypothesis, Step, beam_search, generate, read_references
from seqmodels.inference.translation_ensemble import TranslationEnsemble
from seqmodels.inference.translation_options import TranslationOptions
from seqmodels.networks import TranslationNetwork


@dataclass(frozen=True, eq=False)
class Translation:
    """A translation of one source.

    Attributes:
        text: what was written.
        score: by which the n best are ranked: the log probability in nats under the penalties.
        tokens: the tokens as the vocabulary writes them, the end token last where it was written.
        log_probs: the log probability of each token given those before it, in nats.
        finished: whether it came to its end, rather than to its maximal length.
        source_tokens: the tokens that were read; empty for frames.
        alignment: for each token the place, from 0, of the source token that got most attention; None if not asked for.
        attention: (tokens, source_tokens), the attention at each token, rows of sum 1; None if not asked for.
    """

    text: str
    score: float
    tokens: list[str]
    log_probs: list[float]
    finished: bool
    source_tokens: list[str]
    alignment: list[int] | None = None
    attention: Tensor | None = None

    @property
    def log_probability(self) -> float:
        """The log probability of the whole, in nats."""
        return math.fsum(self.log_probs)


@torch.inference_mode()
def translate_batch(
    networks: TranslationNetwork | TranslationEnsemble,
    batch: Batch,
    options: TranslationOptions | None = None,
    *,
    prefixes: Sequence[Sequence[int]] | None = None,
    must_include: Sequence[Sequence[Sequence[int]]] | None = None,
    source_words: Sequence[Sequence[str]] | None = None,
    alignments: bool = False,
    attention: bool = False,
    first: int = 0,
) -> list[list[Translation]]:
    """Translates the sources of a batch.

    What is found for a row does not depend on the others. A source without tokens has the empty translation, of
    probability 1, unless something is forced or must be included.

    Args:
        networks: a network, or several, in evaluation mode.
        batch: the sources; targets are not looked at.
        options: how; None for the defaults.
        prefixes: for each row the target ids with which its translations begin; what they take of `max_length` comes
            on top where that is left to the source's length.
        must_include: for each row phrases of target ids that its translations must include; likewise.
        source_words: the words of each row as they were written, where the vocabulary may not have them: they replace
            unknown words. None for what the vocabulary writes.
        alignments: whether each token is aligned with a source token; needs attention.
        attention: whether all attention is kept, tokens times source tokens of it for each translation; needs
            attention.
        first: is added to `batch.rows`, on which random numbers depend.

    Returns:
        for each row its translations, best first: `n_best`, or fewer if there are no more, but one at least.

    Raises:
        ConfigurationError: an option needs attention that there is not, or words where there are pieces; a phrase
            cannot be written within `max_length`; a row is to include phrases, but tokens are drawn.
    """
    options = options or TranslationOptions()
    ensemble = networks if isinstance(networks, TranslationEnsemble) else TranslationEnsemble([networks])
    check_translation(ensemble, options, reads_attention=alignments or attention)
    if options.draws and any(must_include or ()):
        raise ConfigurationError(
            "must_include has no meaning where tokens are drawn; set temperature to 0 to search for them"
        )
    lengths = batch.lengths.tolist()
    given = [list(prefix) for prefix in prefixes] if prefixes is not None else [[] for _ in lengths]
    phrases = [list(row) for row in must_include] if must_include is not None else [[] for _ in lengths]
    for name, rows in (("prefixes", given), ("must_include", phrases), ("source_words", source_words)):
        if rows is not None and len(rows) != len(lengths):
            raise ConfigurationError(
                f"{name}: expected one entry for each of the {len(lengths)} sources, got {len(rows)}"
            )
    results = [[no_translation(alignments=alignments, attention=attention)] for _ in lengths]
    searched = [row for row, length in enumerate(lengths) if length or given[row] or phrases[row]]
    if not searched:
        return results
    if len(searched) < len(lengths):
        batch = batch.select(torch.tensor(searched))
    job = _Job(
        ensemble=ensemble,
        options=options,
        batch=batch,
        prefixes=[given[row] for row in searched],
        phrases=[phrases[row] for row in searched],
        numbers=[first + number for number in batch.rows.tolist()],
        words=None if source_words is None else [source_words[row] for row in searched],
        alignments=alignments or attention,
        attention=attention,
    )
    for row, found in zip(searched, job.run(), strict=True):
        results[row] = found
    return results


def check_translation(ensemble: TranslationEnsemble, options: TranslationOptions, *, reads_attention: bool) -> None:
    """Checks that the networks have what the options need.

    Raises:
        ConfigurationError: attention is needed and there is none, or words are and there are pieces.
    """
    needs = {
        "coverage_penalty": options.coverage_penalty > 0,
        "replace_unknown": options.replace_unknown,
        "what a translation looked at": reads_attention,
    }
    for name, needed in needs.items():
        if needed and not ensemble.attends:
            raise ConfigurationError(
                f"{name} needs attention, but the model was trained with attention: none; train one with another "
                f"attention, such as additive, or leave it out"
            )
    source = ensemble.source_tokenizer
    kinds = (None if source is None else source.kind, ensemble.tokenizer.kind)
    if options.replace_unknown and kinds != ("word", "word"):
        raise ConfigurationError(
            f"replace_unknown puts source words in the place of unknown ones, but the model reads "
            f"{_units(kinds[0])} and writes {_units(kinds[1])}; it needs tokenizer: word on both sides"
        )


def _units(kind: str | None) -> str:
    return {None: "frames", "word": "words", "character": "characters"}.get(kind, f"pieces of words ({kind})")


def no_translation(*, alignments: bool, attention: bool) -> Translation:
    """Returns the translation of a source in which there is nothing: empty, of probability 1."""
    aligned: list[int] | None = [] if alignments or attention else None
    return Translation("", 0.0, [], [], True, [], aligned, torch.zeros(0, 0) if attention else None)


@dataclass
class _Job:
    """A batch of sources that are all searched, with one entry a row in every list."""

    ensemble: TranslationEnsemble
    options: TranslationOptions
    batch: Batch
    prefixes: list[list[int]]
    phrases: list[list[Sequence[int]]]
    numbers: list[int]
    words: list[Sequence[str]] | None
    alignments: bool
    attention: bool

    def run(self) -> list[list[Translation]]:
        """Returns the translations of each row."""
        step, state = self.ensemble.read(self.batch)
        hypotheses = [_distinct(found) for found in self._find(step, state)]
        looked = self._look(step, state, hypotheses)
        source_tokens = self._source_tokens()
        return [
            [self._translation(row, found, source_tokens[row], next(looked)) for found in hypotheses[row]]
            for row in range(len(hypotheses))
        ]

    def _find(self, step: Step, state: State) -> list[list[Hypothesis]]:
        options, tokenizer, end_id = self.options, self.ensemble.tokenizer, self.ensemble.end_id
        first_ids = torch.full_like(self.batch.lengths, self.ensemble.begin_id)
        limits = self._limits()
        never = {tokenizer.pad_id, tokenizer.bos_id} | (set() if options.writes_unknown else {tokenizer.unk_id})
        forbidden = sorted(id for id in never - {end_id} if id is not None)  # some use one token for all of these
        if options.draws:
            drawn = generate(
                *(step, state, first_ids, options.drawing(forbidden, max(limits))),
                eos_id=end_id,
                forced=self.prefixes,
                max_lengths=limits,
                row_numbers=self.numbers,
            )
            return [[hypothesis] for hypothesis in drawn]
        return beam_search(
            *(step, state, first_ids, options.beam(forbidden, max(limits))),
            eos_id=end_id,
            forced=self.prefixes,
            must_include=self.phrases,
            max_lengths=limits,
            read_attention=self.ensemble.read_attention if options.coverage_penalty else None,
            source_lengths=self.batch.lengths,
            keep_attention=False,
        )

    def _limits(self) -> list[int]:
        """Returns how many tokens the translation of each row may have, whatever the other rows."""
        options = self.options
        if options.max_length is not None:
            return [options.max_length] * self.batch.size
        given = [
            len(prefix) + sum(map(len, phrases)) for prefix, phrases in zip(self.prefixes, self.phrases, strict=True)
        ]
        lengths = self.batch.lengths.tolist()
        return [options.longest(length) + extra for length, extra in zip(lengths, given, strict=True)]

    def _look(self, step: Step, state: State, hypotheses: list[list[Hypothesis]]) -> Iterator[Tensor | None]:
        """Goes through what was found once more, and reads off where each token looked, so far as that is needed.

        That costs a fifth of a beam of 5, and a search that keeps all attention of all candidates has to move it at
        each step.
        """
        flat = [hypothesis for found in hypotheses for hypothesis in found]
        unknown = self.ensemble.tokenizer.unk_id
        needed = self.alignments or (
            self.options.replace_unknown and any(unknown in hypothesis.ids for hypothesis in flat)
        )
        if not needed:
            return iter([None] * len(flat))
        device = self.batch.lengths.device
        rows = torch.tensor([row for row, found in enumerate(hypotheses) for _ in found], device=device)
        lengths = torch.tensor([len(hypothesis.ids) for hypothesis in flat], device=device)
        targets = torch.zeros(len(flat), int(lengths.max()), dtype=torch.int64, device=device)
        for place, hypothesis in enumerate(flat):
            targets[place, : len(hypothesis.ids)] = torch.tensor(hypothesis.ids, dtype=torch.int64)
        read = self.ensemble.read_attention
        looked = read_references(
            step,
            select_rows(state, rows),
            torch.full_like(lengths, self.ensemble.begin_id),
            targets,
            lengths,
            read if self.attention else lambda state: read(state).argmax(1, keepdim=True),
        )
        sources = self.batch.lengths[rows].tolist()
        parts = zip(looked.cpu(), lengths.tolist(), sources, strict=True)
        return iter([part[:length, : source if self.attention else 1] for part, length, source in parts])

    def _source_tokens(self) -> list[list[str]]:
        tokenizer = self.ensemble.source_tokenizer
        lengths = self.batch.lengths.tolist()
        if tokenizer is None:
            return [[] for _ in lengths]
        ids = self.batch.inputs["ids"].tolist()
        return [tokenizer.tokens(row[:length]) for row, length in zip(ids, lengths, strict=True)]

    def _translation(
        self, row: int, hypothesis: Hypothesis, source_tokens: list[str], looked: Tensor | None
    ) -> Translation:
        tokenizer = self.ensemble.tokenizer
        alignment = None
        if looked is not None and not self._is_empty(row):
            alignment = (looked.argmax(1) if self.attention else looked.squeeze(1)).tolist()
        text = tokenizer.decode(hypothesis.ids)
        if self.options.replace_unknown and alignment is not None:
            words = source_tokens if self.words is None else self.words[row]
            text = _with_words(tokenizer, hypothesis.ids, [words[place] for place in alignment])
        return Translation(
            text=text,
            score=hypothesis.score,
            tokens=tokenizer.tokens(hypothesis.ids),
            log_probs=hypothesis.log_probs,
            finished=hypothesis.finished,
            source_tokens=source_tokens,
            alignment=([] if alignment is None else alignment) if self.alignments else None,
            attention=looked.clone() if self.attention and looked is not None else None,
        )

    def _is_empty(self, row: int) -> bool:
        return int(self.batch.lengths[row]) == 0


def _distinct(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    """Leaves out what was found before: groups of a beam may find the same."""
    seen: dict[tuple[int, ...], Hypothesis] = {}
    for hypothesis in hypotheses:
        seen.setdefault(tuple(hypothesis.ids), hypothesis)
    return list(seen.values())


def _with_words(tokenizer: Tokenizer, ids: list[int], words: list[str]) -> str:
    """Returns the text of ids of a word tokenizer, with the given word where an unknown one stands."""
    written = []
    for id, word in zip(ids, words, strict=True):
        text = word if id == tokenizer.unk_id else tokenizer.decode([id])
        written += [text] if text else []
    return " ".join(written)
