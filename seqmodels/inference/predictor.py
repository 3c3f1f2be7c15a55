"""Prediction on raw text, words or features with a trained network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from seqmodels.data.batch import Batch
from seqmodels.data.encoded import collate
from seqmodels.data.readers.reader import Example
from seqmodels.data.schema import Schema
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.networks import ClassificationNetwork, Network, TaggingNetwork

Result = TypeVar("Result")
Input = str | Sequence[str] | Sequence[Sequence[float]] | Mapping[str, Any]


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
            assert isinstance(self.network, TaggingNetwork)
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

    def results(self, inputs: Sequence[Input]) -> list[dict[str, Any]]:
        """Returns, for each input, the prediction with its probabilities as a dictionary of plain types."""
        return self._run(inputs, self.network.results)

    def _run(self, inputs: Sequence[Input], read_off: Any) -> list[Any]:
        examples = self._examples(inputs)
        if not examples:
            return []
        encoded = self.schema.encode(examples, targets=False)
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
