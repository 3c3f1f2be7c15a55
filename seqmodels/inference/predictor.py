"""Prediction on raw text, words or features with a trained network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from seqmodels.data.batch import Batch
from seqmodels.data.encoded import collate
from seqmodels.data.readers.reader import Example
from seqmodels.data.schema import Schema
from seqmodels.errors import ConfigurationError, DataError, did_you_mean
from seqmodels.inference.score import Score
from seqmodels.inference.text_translator import TextTranslator
from seqmodels.inference.translating import Translation
from seqmodels.inference.translation_ensemble import TranslationEnsemble
from seqmodels.inference.translation_options import TranslationOptions
from seqmodels.inference.writing import Writer, WritingOptions
from seqmodels.networks import (
    ClassificationNetwork,
    LanguageModelingNetwork,
    Network,
    TaggingNetwork,
    TranslationNetwork,
)

Result = TypeVar("Result")
Input = str | Sequence[str] | Sequence[Sequence[float]] | Mapping[str, Any]


class Predictor:
    """A trained network with all that it needs to read raw inputs. Made by `seqmodels.load`.

    Args:
        network: the network with its weights.
        record: what the network was built from, as a checkpoint holds it.
        batch_size: rows computed at once; rows of like length are put together, and the order is restored.
        ensemble: the translators that write together, `network` the first of them; None for `network` alone.
    """

    def __init__(
        self,
        network: Network,
        record: Mapping[str, Any],
        batch_size: int = 64,
        ensemble: TranslationEnsemble | None = None,
    ) -> None:
        self.network = network.eval()
        self.record = record
        self.batch_size = batch_size
        self.ensemble = ensemble
        for other in ensemble.networks if ensemble is not None else ():
            other.eval()

    @property
    def schema(self) -> Schema:
        """How raw inputs become numbers, and classes or tags names."""
        return self.network.schema

    @property
    def names(self) -> list[str]:
        """The classes or tags, in the order of `predict_proba`'s columns."""
        return list(self.network.target.names)

    def to(self, device: str | torch.device) -> Predictor:
        """Moves the network to a device and returns the predictor."""
        self.network.to(device)
        for other in self.ensemble.networks if self.ensemble is not None else ():
            other.to(device)
        return self

    def predict(self, inputs: Sequence[Input]) -> list[Any]:
        """Returns one prediction for each input: a class, a list of classes, a list of tags, or a translation.

        Args:
            inputs: raw texts; for a tagger, lists of words (a text is split at white space); for features, one
                (time, size) list or array each; or mappings as readers give them.

        Raises:
            ConfigurationError: a single text was given instead of a list of them.
            DataError: an input is not of the kind that the model was trained on.
        """
        if isinstance(self.network, LanguageModelingNetwork):
            raise ConfigurationError("predict needs labels to choose from; of a language model ask score or generate")
        if isinstance(self.network, TranslationNetwork):
            return self.translate(inputs)
        key = {"label": "label", "labels": "labels", "tags": "tags"}[self.network.target.kind]
        return [result[key] for result in self.results(inputs)]

    def tag(self, inputs: Sequence[Input]) -> list[list[tuple[str, str]]]:
        """Returns (word, tag) pairs for each input.

        Raises:
            ConfigurationError: the model is not a tagger.
        """
        if not isinstance(self.network, TaggingNetwork):
            raise ConfigurationError(f"tag needs a tagger, but {what_it_does(self.network)}")
        if self.schema.features:
            raise ConfigurationError("tag pairs words with tags, but this model reads feature sequences; use predict")
        examples = self._examples(inputs)
        words = [example.get("tokens") or example.get("text", "").split() for example in examples]
        if self.schema.tokens and not self.schema.pretokenized:
            words = self.schema.tokens.tokenizer.split([example["text"] for example in examples])
        tags = (result["tags"] for result in self.results(examples))
        return [list(zip(row, found, strict=False)) for row, found in zip(words, tags, strict=True)]

    def predict_proba(self, inputs: Sequence[Input]) -> list[np.ndarray[Any, Any]]:
        """Returns probabilities for each input: (labels,) of a classifier, (words, tags) of a tagger; see `names`."""

        def probabilities(logits: Tensor, batch: Batch) -> list[np.ndarray[Any, Any]]:
            if isinstance(self.network, ClassificationNetwork):
                return list(self.network.probabilities(logits).cpu().numpy())
            if not isinstance(self.network, TaggingNetwork):
                raise ConfigurationError("predict_proba needs labels to choose from; of a language model ask score")
            rows = self.network.probabilities(logits, batch).cpu().numpy()
            return [row[:length] for row, length in zip(rows, batch.tag_lengths().tolist(), strict=True)]

        if isinstance(self.network, TranslationNetwork):
            raise ConfigurationError(f"predict_proba needs labels to choose from, but {what_it_does(self.network)}")
        return self._run(inputs, probabilities)

    def tag_n_best(self, inputs: Sequence[Input], n: int) -> list[list[tuple[list[str], float]]]:
        """Returns, for each input, its `n` likeliest tag sequences with log probabilities in nats, best first.

        Raises:
            ConfigurationError: the model is not a tagger with a CRF, or `n` is not positive.
        """
        network = self.network
        if not isinstance(network, TaggingNetwork) or network.crf is None:
            raise ConfigurationError("n-best tagging needs a tagger trained with crf: true")
        return self._run(inputs, lambda logits, batch: network.n_best(logits, batch, n))

    def score(self, inputs: Sequence[Input]) -> list[Score]:
        """Returns how likely a language model finds each input, token by token, its end included.

        Every text is scored by itself, from its beginning.

        Raises:
            ConfigurationError: the model is not a language model.
        """
        network = self.network
        if not isinstance(network, LanguageModelingNetwork):
            instead = (
                "this model translates; use score_translations"
                if isinstance(network, TranslationNetwork)
                else "this model gives labels; use predict_proba"
            )
            raise ConfigurationError(f"score needs a language model, but {instead}")

        def scores(outputs: Tensor, batch: Batch) -> list[Score]:
            rows = zip(network.log_probs(outputs, batch).tolist(), batch.lengths.tolist(), strict=True)
            tokens: list[list[str]] = [[] for _ in range(batch.size)]
            if network.schema.tokens is not None:
                assert batch.targets is not None
                decode = network.schema.tokens.tokenizer.tokens
                tokens = [
                    decode(ids[:length]) for ids, length in zip(batch.targets.tolist(), batch.lengths, strict=True)
                ]
            return [Score(names, values[:length]) for names, (values, length) in zip(tokens, rows, strict=True)]

        return self._run(inputs, scores, "score")

    def generate(
        self, prompts: Sequence[str], options: WritingOptions | None = None, *, first: int = 0, **settings: Any
    ) -> list[str]:
        """Returns for each prompt the text that a language model writes behind it; an empty prompt begins a new text.

        One step of the model a token, whatever came before. What is written to a prompt depends on its place in the
        list and on the seed, not on the other prompts.

        Args:
            prompts: the beginnings.
            options: how to write; None for `WritingOptions(**settings)`.
            first: the number of the first prompt, where they are a part of a list: random numbers depend on it.
            settings: the arguments of `WritingOptions`, such as `max_length=200, temperature=0.8, top_p=0.9, seed=1`.

        Raises:
            ConfigurationError: the model is not a language model of tokens, or a setting is unknown or out of range.
            DataError: a word of a prompt is not in the vocabulary.
        """
        if isinstance(prompts, str) or not isinstance(prompts, Sequence):
            got = "a single one" if isinstance(prompts, str) else type(prompts).__name__
            raise ConfigurationError(f"expected a list of prompts, got {got}; put them in brackets: generate([...])")
        writer = self._writer(options, settings)
        return [
            text
            for begin in range(0, len(prompts), self.batch_size)
            for text in writer.texts(prompts[begin : begin + self.batch_size], first=first + begin)
        ]

    def stream(self, prompt: str, options: WritingOptions | None = None, **settings: Any) -> Iterator[str]:
        """Yields the text that a language model writes behind a prompt, piece by piece; see `generate`."""
        return self._writer(options, settings).stream(prompt)

    def _writer(self, options: WritingOptions | None, settings: Mapping[str, Any]) -> Writer:
        if not isinstance(self.network, LanguageModelingNetwork):
            raise ConfigurationError(f"generate needs a language model, but {what_it_does(self.network)}")
        _check_settings("generate", WritingOptions, options, settings)
        return Writer(self.network, WritingOptions(**settings) if options is None else options)

    def translate(
        self,
        sources: Sequence[Input],
        options: TranslationOptions | None = None,
        *,
        prefixes: Sequence[str] | None = None,
        must_include: Sequence[Sequence[str]] | None = None,
        first: int = 0,
        **settings: Any,
    ) -> list[str]:
        """Returns the translation of each source. What it is does not depend on the other sources.

        An empty source, or one of white space alone, has an empty translation, unless there is a prefix or something to
        be included.

        Args:
            sources: raw texts, or lists of words where the model was trained on words.
            options: how; None for `TranslationOptions(**settings)`.
            prefixes: for each source the text with which its translation begins; an empty one leaves it free.
            must_include: for each source the words, or phrases, that its translation must include, in any order. Of
                pieces of words it is the pieces that are included, so that a word may come as part of a longer one.
            first: the number of the first source, where they are a part of a list: random numbers depend on it.
            settings: the arguments of `TranslationOptions`, such as `beam_size=10, length_penalty=0.8`.

        Raises:
            ConfigurationError: the model is not a translator, a setting is unknown or out of range, or what must be
                written does not fit into `max_length`.
            DataError: a source is not of the kind that the model was trained on, or a word that must be written is not
                in the vocabulary.
        """
        translator = self._translator("translate")
        _check_settings("translate", TranslationOptions, options, settings)
        options = TranslationOptions(**settings) if options is None else options
        if options.n_best > 1:
            raise ConfigurationError(
                f"translate gives one text for each source; for the {options.n_best} best use translate_n_best"
            )
        examples = self._examples(sources, "translate")
        found = translator.translate(examples, options, prefixes=prefixes, must_include=must_include, first=first)
        return [translations[0].text for translations in found]

    def translate_n_best(
        self,
        sources: Sequence[Input],
        options: TranslationOptions | None = None,
        *,
        prefixes: Sequence[str] | None = None,
        must_include: Sequence[Sequence[str]] | None = None,
        alignments: bool = False,
        attention: bool = False,
        first: int = 0,
        **settings: Any,
    ) -> list[list[Translation]]:
        """Returns the `n_best` translations of each source with their scores, best first; see `translate`.

        Args:
            sources: as in `translate`, and so are all arguments that are not named here.
            alignments: whether each token comes with the source token that got most attention.
            attention: whether the translations come with all attention, which takes memory for each pair of tokens.
        """
        translator = self._translator("translate_n_best")
        _check_settings("translate_n_best", TranslationOptions, options, settings)
        return translator.translate(
            self._examples(sources, "translate_n_best"),
            TranslationOptions(**settings) if options is None else options,
            prefixes=prefixes,
            must_include=must_include,
            alignments=alignments,
            attention=attention,
            first=first,
        )

    def score_translations(self, sources: Sequence[Input], targets: Sequence[str]) -> list[Score]:
        """Returns how likely each target is as the translation of its source, token by token, its end included.

        Raises:
            ConfigurationError: the model is not a translator, or there is not one target for each source.
        """
        translator = self._translator("score_translations")
        examples = self._examples(sources, "score_translations")
        if isinstance(targets, str) or len(targets) != len(examples):
            got = f"the text {targets!r}" if isinstance(targets, str) else str(len(targets))
            raise ConfigurationError(
                f"score_translations: expected one target for each of the {len(examples)} sources, got {got}"
            )
        pairs = [{**example, "target_text": target} for example, target in zip(examples, targets, strict=True)]
        return translator.score(cast("list[Example]", pairs))

    def _translator(self, call: str) -> TextTranslator:
        if not isinstance(self.network, TranslationNetwork):
            raise ConfigurationError(f"{call} needs a translator, but {what_it_does(self.network)}")
        return TextTranslator(self.ensemble or TranslationEnsemble([self.network]), self.batch_size)

    def results(self, inputs: Sequence[Input]) -> list[dict[str, Any]]:
        """Returns, for each input, the prediction with its probabilities as a dictionary of plain types."""
        if isinstance(self.network, TranslationNetwork):
            found = self._translator("results").translate(self._examples(inputs), TranslationOptions())
            return [{"text": best.text, "log_probability": best.log_probability} for best, *_ in found]
        return self._run(inputs, self.network.results)

    def _run(self, inputs: Sequence[Input], read_off: Any, call: str = "predict") -> list[Any]:
        examples = self._examples(inputs, call)
        if not examples:
            return []
        encoded = self.network.columns(examples)
        order = np.argsort(encoded.steps().lengths(), kind="stable").tolist()
        device = next(self.network.parameters()).device
        results: list[Any] = [None] * len(examples)
        with torch.inference_mode():
            for begin in range(0, len(order), self.batch_size):
                rows = order[begin : begin + self.batch_size]
                batch = collate(encoded, rows).to(device)
                for row, result in zip(rows, read_off(self.network(batch), batch), strict=True):
                    results[row] = result
        return results

    def _examples(self, inputs: Sequence[Input], call: str = "predict") -> list[Example]:
        if isinstance(inputs, (str, Mapping)):
            raise ConfigurationError(f"expected a list of inputs, got a single one; put it in brackets: {call}([...])")
        return [self._example(value, number) for number, value in enumerate(inputs, start=1)]

    def _example(self, value: Any, number: int) -> Example:
        """Returns an input as readers give it, if it is of the kind that the model was trained on."""
        if isinstance(value, Mapping):
            return cast(Example, value)
        if self.schema.features:
            steps = value if isinstance(value, str) else np.asarray(value, dtype=object)
            if isinstance(steps, str) or steps.ndim != 2:
                raise DataError(
                    f"input {number}: expected a sequence of steps of {self.schema.features.size} numbers each, as in "
                    f"training, got {_brief(value)}"
                )
            return {"features": value}
        if isinstance(value, str):
            return {"text": value}
        if not self.schema.pretokenized:
            raise DataError(f"input {number}: expected a text, as in training, got {_brief(value)}")
        if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
            raise DataError(f"input {number}: expected a list of words, or a text to split, got {_brief(value)}")
        return {"tokens": list(value)}


def what_it_does(network: Network) -> str:
    """Returns what this model does instead of what it was asked for, and by which method."""
    if isinstance(network, LanguageModelingNetwork):
        return "this model is a language model; use generate or score"
    if isinstance(network, TranslationNetwork):
        return "this model translates; use translate"
    return "this model gives labels; use predict"


def _check_settings(
    call: str, kind: type[WritingOptions | TranslationOptions], options: object | None, settings: Mapping[str, Any]
) -> None:
    """Makes sure that settings are fields of the options, and that not both are given."""
    known = list(kind.__dataclass_fields__)
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise ConfigurationError(
            f"{call} has no setting '{unknown[0]}'{did_you_mean(unknown[0], known)}; it has: {', '.join(known)}"
        )
    if options is not None and settings:
        raise ConfigurationError("give options or single settings, not both")


def _brief(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
