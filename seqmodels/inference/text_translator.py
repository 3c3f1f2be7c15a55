"""Translations of raw texts: encoded, put together by length, translated batch by batch, and back in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from seqmodels.data.encoded import Encoded, collate
from seqmodels.data.readers.reader import Example
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.generation import score_references
from seqmodels.inference.score import Score
from seqmodels.inference.translating import Translation, check_translation, no_translation, translate_batch
from seqmodels.inference.translation_ensemble import TranslationEnsemble
from seqmodels.inference.translation_options import TranslationOptions

_PLACES = 2**17  # source places that the candidates of a batch attend to at once: bounds memory where sources are long


class TextTranslator:
    """Translates raw sources with one network or several.

    Args:
        ensemble: the networks, in evaluation mode.
        batch_size: sources translated at once, fewer where they are very long; those of like length are put together.
    """

    def __init__(self, ensemble: TranslationEnsemble, batch_size: int) -> None:
        self.ensemble = ensemble
        self.batch_size = batch_size

    def translate(
        self,
        examples: Sequence[Example],
        options: TranslationOptions,
        *,
        prefixes: Sequence[str] | None = None,
        must_include: Sequence[Sequence[str]] | None = None,
        alignments: bool = False,
        attention: bool = False,
        first: int = 0,
    ) -> list[list[Translation]]:
        """Returns the translations of each source, best first.

        Args:
            examples: the sources.
            options: how.
            prefixes: for each source the text with which its translations begin.
            must_include: for each source words or phrases that its translations must include.
            alignments: see `translate_batch`.
            attention: see `translate_batch`.
            first: the number of the first source, where they are a part of a list: random numbers depend on it.

        Raises:
            ConfigurationError: there is not one entry for each source, an option needs what the model has not, or what
                must be written does not fit into `max_length`.
            DataError: a word that must be written is not in the vocabulary.
        """
        examples = [_without_blanks(example) for example in examples]
        check_translation(self.ensemble, options, reads_attention=alignments or attention)
        forced = self._ids_of_prefixes(prefixes, len(examples), options)
        phrases = self._ids_of_phrases(must_include, len(examples), options)
        if not examples:
            return []
        encoded = self.ensemble.networks[0].columns(examples)
        words = self._source_words(examples) if options.replace_unknown else None
        results = [[no_translation(alignments=alignments, attention=attention)] for _ in examples]
        device = next(self.ensemble.networks[0].parameters()).device
        for batch in self._batches(encoded, options.beam_size):
            rows = [  # a pretrained tokenizer puts marks of its own around nothing
                row
                for row in batch
                if examples[row].get("text") != "" or (forced and forced[row]) or (phrases and phrases[row])
            ]
            if not rows:
                continue
            found = translate_batch(
                self.ensemble,
                collate(encoded, rows).to(device),
                options,
                prefixes=None if forced is None else [forced[row] for row in rows],
                must_include=None if phrases is None else [phrases[row] for row in rows],
                source_words=None if words is None else [words[row] for row in rows],
                alignments=alignments,
                attention=attention,
                first=first,
            )
            for row, translations in zip(rows, found, strict=True):
                results[row] = translations
        return results

    @torch.inference_mode()
    def score(self, examples: Sequence[Example]) -> list[Score]:
        """Returns how likely each example's target is as the translation of its source, its end included."""
        if not examples:
            return []
        ensemble = self.ensemble
        encoded = ensemble.networks[0].schema.encode(examples, targets=True)
        device = next(ensemble.networks[0].parameters()).device
        results: list[Score] = [Score([], []) for _ in examples]
        for rows in self._batches(encoded, 1):
            batch = collate(encoded, rows).to(device)
            assert batch.targets is not None
            assert batch.target_lengths is not None
            step, state = ensemble.read(batch)
            begin = torch.full_like(batch.lengths, ensemble.begin_id)
            found = score_references(step, state, begin, batch.targets, batch.target_lengths)
            parts = zip(rows, batch.targets.tolist(), found.tolist(), batch.target_lengths.tolist(), strict=True)
            for row, ids, log_probs, length in parts:
                results[row] = Score(ensemble.tokenizer.tokens(ids[:length]), log_probs[:length])
        return results

    def _batches(self, encoded: Encoded, beam_size: int) -> Iterator[list[int]]:
        """Yields the rows of each batch, shortest sources first."""
        lengths = encoded.steps().lengths()
        batch: list[int] = []
        for row in np.argsort(lengths, kind="stable").tolist():
            places = (len(batch) + 1) * beam_size * int(lengths[row])
            if batch and (len(batch) == self.batch_size or places > _PLACES):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _ids_of_prefixes(
        self, prefixes: Sequence[str] | None, count: int, options: TranslationOptions
    ) -> list[list[int]] | None:
        if prefixes is None:
            return None
        _check_list("prefixes", prefixes, count, "texts")
        found = []
        for number, prefix in enumerate(prefixes, start=1):
            ids = _known_ids(self.ensemble.tokenizer, prefix, f"prefixes, input {number}")
            _check_room(f"prefixes, input {number}", "it", len(ids), options)
            found.append(ids)
        return found

    def _ids_of_phrases(
        self, must_include: Sequence[Sequence[str]] | None, count: int, options: TranslationOptions
    ) -> list[list[list[int]]] | None:
        if must_include is None:
            return None
        _check_list("must_include", must_include, count, "lists of words")
        tokenizer = self.ensemble.tokenizer
        before = " " if tokenizer.joins_words_by_space else ""  # pieces depend on the space before their word
        found = []
        for number, phrases in enumerate(must_include, start=1):
            where = f"must_include, input {number}"
            if isinstance(phrases, str) or not isinstance(phrases, Iterable):
                advice = "put it in brackets" if isinstance(phrases, str) else "an empty list asks for none"
                raise ConfigurationError(f"{where}: expected a list of words, got {phrases!r}; {advice}")
            rows = [_known_ids(tokenizer, f"{before}{phrase}" if phrase else "", where) for phrase in phrases]
            if [] in rows:
                raise ConfigurationError(f"{where}: expected words, got {phrases[rows.index([])]!r}; leave it out")
            for phrase, ids in zip(phrases, rows, strict=True):
                _check_repetition(f"{where}: {phrase!r}", ids, options.no_repeat_ngram)
            _check_room(where, "they", sum(map(len, rows)) + 1 if rows else 0, options)
            found.append(rows)
        return found

    def _source_words(self, examples: Sequence[Example]) -> list[list[str]]:
        """Returns the words of each source as they were written, one for each token."""
        network = self.ensemble.networks[0]
        if network.schema.pretokenized:
            return [list(example.get("tokens") or (example.get("text") or "").split()) for example in examples]
        assert network.schema.tokens is not None
        return network.schema.tokens.tokenizer.split([example["text"] for example in examples])


def _check_list(name: str, given: Sequence[object], count: int, what: str) -> None:
    if isinstance(given, str) or len(given) != count:
        got = f"the text {given!r}" if isinstance(given, str) else str(len(given))
        raise ConfigurationError(f"{name}: expected {what}, one for each of the {count} inputs, got {got}")


def _check_room(where: str, subject: str, needed: int, options: TranslationOptions) -> None:
    if options.max_length is not None and needed > options.max_length:
        raise ConfigurationError(
            f"{where}: {subject} cannot be written, for {needed} tokens are needed and max_length is "
            f"{options.max_length}; raise it"
        )


def _check_repetition(what: str, ids: Sequence[int], size: int | None) -> None:
    if size is None:
        return
    sequences = [tuple(ids[begin : begin + size]) for begin in range(len(ids) - size + 1)]
    if len(set(sequences)) < len(sequences):
        raise ConfigurationError(
            f"{what} cannot be written, for it repeats a sequence of {size} tokens, which no_repeat_ngram: {size} "
            f"forbids; raise it or leave it out"
        )


def _without_blanks(example: Example) -> Example:
    """Returns an example whose text is empty where it is white space alone, of which there is nothing to translate."""
    text = example.get("text")
    return {**example, "text": ""} if isinstance(text, str) and not text.strip() else example


def _known_ids(tokenizer: Tokenizer, text: str, where: str) -> list[int]:
    """Returns the ids of a text that must be written, without what a pretrained tokenizer adds.

    Raises:
        DataError: a word of it is not in the vocabulary.
    """
    if not isinstance(text, str):
        raise DataError(f"{where}: expected a text, got {type(text).__name__}")
    special = {tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id}
    ids = [id for id in tokenizer.encode_texts([text])[0] if id not in special]
    if tokenizer.unk_id in ids:
        (words,) = tokenizer.split([text])
        unknown = [word for word, id in zip(words, ids, strict=False) if id == tokenizer.unk_id]
        raise DataError(
            f"{where}: not in the target vocabulary of {tokenizer.vocab_size:,}: "
            f"{', '.join(map(repr, dict.fromkeys(unknown[:5])))}; choose other words"
        )
    return ids
