"""Prediction on raw text, words or features with a trained network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from seqmodels.data.batch import Batch
from seqmodels.data.encoded import collate
from seqmodels.data.readers.reader import Example
from seqmodels.data.schema import Schema
from seqmodels.errors import ConfigurationError, DataError, did_you_mean
from seqmodels.inference.writing import Writer, WritingOptions
from seqmodels.networks import ClassificationNetwork, LanguageModelingNetwork, Network, TaggingNetwork

Result = TypeVar("Result")
Input = str | Sequence[str] | Sequence[Sequence[float]] | Mapping[str, Any]


@dataclass(frozen=True)
class Score:
    """How likely a language model finds a sequence.

    Attributes:
        tokens: the tokens as the vocabulary writes them, the end token last; empty for frames.
        log_probs: the log-likelihood of each step given those before it, in nats.
    """

    tokens: list[str]
    log_probs: list[float]

    @property
    def log_probability(self) -> float:
        """The log-likelihood of the whole, in nats: by this sequences are ranked."""
        return math.fsum(self.log_probs)

    @property
    def perplexity(self) -> float:
        """The inverse of the geometric mean of the steps' probabilities."""
        return math.exp(min(-self.log_probability / max(len(self.log_probs), 1), 700.0))


class Predictor:
    """A trained network with all that it needs to read raw inputs. Made by `seqmodels.load`.

    Args:
        network: the network with its weights.
        record: what the network was built from, as a checkpoint holds it.
        batch_size: rows computed at once; rows of like length are put together, and the order is restored.
    """

    def __init__(self, network: Network, record: Mapping[str, Any], batch_size: int = 64) -> None:
        self.network = network.eval()
        self.record = record
        self.batch_size = batch_size

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
        return self

    def predict(self, inputs: Sequence[Input]) -> list[Any]:
        """Returns one prediction for each input: a class, a list of classes, or a list of tags.

        Args:
            inputs: raw texts; for a tagger, lists of words (a text is split at white space); for features, one
                (time, size) list or array each; or mappings as readers give them.

        Raises:
            ConfigurationError: a single text was given instead of a list of them.
            DataError: an input is not of the kind that the model was trained on.
        """
        if isinstance(self.network, LanguageModelingNetwork):
            raise ConfigurationError("predict needs labels to choose from; of a language model ask score or generate")
        key = {"label": "label", "labels": "labels", "tags": "tags"}[self.network.target.kind]
        return [result[key] for result in self.results(inputs)]

    def tag(self, inputs: Sequence[Input]) -> list[list[tuple[str, str]]]:
        """Returns (word, tag) pairs for each input.

        Raises:
            ConfigurationError: the model is not a tagger.
        """
        if not isinstance(self.network, TaggingNetwork):
            raise ConfigurationError("tag needs a tagger, but this model is a classifier; use predict")
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
            raise ConfigurationError("score needs a language model, but this model gives labels; use predict_proba")

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

        return self._run(inputs, scores)

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
        if isinstance(prompts, str):
            raise ConfigurationError(
                "expected a list of prompts, got a single one; put it in brackets: generate([...])"
            )
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
            raise ConfigurationError("generate needs a language model, but this model gives labels; use predict")
        unknown = [name for name in settings if name not in WritingOptions.__dataclass_fields__]
        if unknown or (options is not None and settings):
            known = list(WritingOptions.__dataclass_fields__)
            raise ConfigurationError(
                f"generate has no setting '{unknown[0]}'{did_you_mean(unknown[0], known)}; it has: {', '.join(known)}"
                if unknown
                else "give options or single settings, not both"
            )
        return Writer(self.network, WritingOptions(**settings) if options is None else options)

    def results(self, inputs: Sequence[Input]) -> list[dict[str, Any]]:
        """Returns, for each input, the prediction with its probabilities as a dictionary of plain types."""
        return self._run(inputs, self.network.results)

    def _run(self, inputs: Sequence[Input], read_off: Any) -> list[Any]:
        examples = self._examples(inputs)
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

    def _examples(self, inputs: Sequence[Input]) -> list[Example]:
        if isinstance(inputs, (str, Mapping)):
            raise ConfigurationError("expected a list of inputs, got a single one; put it in brackets: predict([...])")
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


def _brief(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
