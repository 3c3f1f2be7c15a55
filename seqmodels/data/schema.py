"""The schema: what turns raw values into numbers and back; built of the training data, it travels in the checkpoint."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, Literal

import numpy as np

from seqmodels.data.encoded import IGNORED, UNSEEN, Encoded
from seqmodels.data.ragged import Array, Ragged
from seqmodels.data.readers.reader import Example
from seqmodels.data.tokenizer_training import train_tokenizer
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.registry import Spec

TargetKind = Literal["label", "labels", "tags"]


class ExampleError(DataError):
    """An example does not fit the schema, or the others.

    Args:
        example: the example.
        row: its number among those at hand, from 0; a caller that knows where they came from can give another.
        problem: what was expected and what was found.
    """

    def __init__(self, example: Example, row: int, problem: str) -> None:
        name = f"'{example['id']}'" if example.get("id") else row + 1
        super().__init__(f"example {name}: {problem}")
        self.example = example
        self.row = row
        self.problem = problem


@dataclass(frozen=True)
class TokenInput:
    """Text or words read as token ids."""

    tokenizer: Tokenizer

    def to_record(self) -> dict[str, Any]:
        """Returns plain types."""
        return self.tokenizer.to_record()


@dataclass(frozen=True)
class CharacterInput:
    """The characters of each word: ids 0 for padding, 1 for one not in training, then `vocabulary` in order.

    Args:
        vocabulary: the characters seen in training, most frequent first.
        max_length: longer words keep their first and last halves; the long tail (addresses) would only cost time.
    """

    vocabulary: tuple[str, ...]
    max_length: int = 32

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(self.vocabulary) + 2

    def clip(self, word: str) -> str:
        """Returns the word, or the first and last half of `max_length` characters of a longer one."""
        if len(word) <= self.max_length:
            return word
        head = self.max_length // 2
        return word[:head] + word[head - self.max_length :]


@dataclass(frozen=True)
class FeatureInput:
    """Vectors of real numbers, with the mean and the standard deviation of each over all training steps."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Target:
    """What is to be predicted.

    Args:
        kind: "label" (one class a sequence), "labels" (any number of them) or "tags" (one for each token).
        names: classes or tags seen in training, sorted; a name's place is its id.
        counts: how often each occurs in training.
    """

    kind: TargetKind
    names: tuple[str, ...]
    counts: tuple[int, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ids", {name: number for number, name in enumerate(self.names)})

    def id_of(self, name: str) -> int:
        """Returns the id of a class or tag, `UNSEEN` for one that training did not have."""
        return self._ids.get(name, UNSEEN)


@dataclass(frozen=True)
class Schema:
    """How the examples of one data set become numbers.

    Args:
        tokens: how text or words become ids; None for feature sequences.
        characters: how words become character ids; None where they are not used.
        features: size and normalisation of feature sequences; None for text.
        target: the classes or tags; None for unlabelled data.
        pretokenized: whether the inputs are words, kept word for word, rather than raw text.
        target_tokens: how the text to be written becomes ids and back, where the target is a text; the same object as
            `tokens` where source and target share a vocabulary.
        framed: whether a pretrained tokenizer puts its own special tokens (`[CLS]` ... `[SEP]`) around an input.
    """

    tokens: TokenInput | None
    characters: CharacterInput | None
    features: FeatureInput | None
    target: Target | None
    pretokenized: bool = False
    target_tokens: TokenInput | None = None
    framed: bool = True

    @property
    def shares_vocabulary(self) -> bool:
        """Whether the ids of the text to be written are those of the text that is read."""
        return self.target_tokens is not None and self.target_tokens is self.tokens

    def to_record(self) -> dict[str, Any]:
        """Returns plain types (dictionaries, lists, strings, numbers), as `from_record` takes them."""
        record: dict[str, Any] = {
            "tokens": self.tokens and self.tokens.to_record(),
            "characters": self.characters and asdict(self.characters),
            "features": self.features and asdict(self.features),
            "target": self.target
            and {"kind": self.target.kind, "names": list(self.target.names), "counts": list(self.target.counts)},
            "pretokenized": self.pretokenized,
        }
        if self.target_tokens is not None:
            record["target_tokens"] = "shared" if self.shares_vocabulary else self.target_tokens.to_record()
        if not self.framed:
            record["framed"] = False
        return record

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Schema:
        """Makes the schema that `to_record` wrote."""
        tokens, characters, features, target = (record[key] for key in ("tokens", "characters", "features", "target"))
        source = tokens and TokenInput(Tokenizer.from_record(tokens))
        written = record.get("target_tokens")
        return cls(
            tokens=source,
            characters=characters and CharacterInput(tuple(characters["vocabulary"]), characters["max_length"]),
            features=features and FeatureInput(features["size"], tuple(features["mean"]), tuple(features["std"])),
            target=target and Target(target["kind"], tuple(target["names"]), tuple(target["counts"])),
            pretokenized=record["pretokenized"],
            target_tokens=source if written == "shared" else written and TokenInput(Tokenizer.from_record(written)),
            framed=record.get("framed", True),
        )

    def encode(self, examples: Sequence[Example], *, targets: bool = True, first: int = 0) -> Encoded:
        """Turns examples into flat columns of numbers; unknown words, characters and labels get their own ids.

        Args:
            examples: the examples, or a chunk of them.
            targets: whether to encode the targets too.
            first: the number of the chunk's first example, for error messages.

        Raises:
            DataError: an example lacks the input (or, with `targets`, the target) that the schema was built from, has
                another number of features or one that is not finite, or a number of tags that differs from its number
                of tokens.
        """
        encoded = self._encode_features(examples, first) if self.features else self._encode_tokens(examples, first)
        if targets and self.target:
            encoded.targets = self._encode_targets(self.target, examples, first)
        if targets and self.target_tokens:
            encoded.target_ids = self._encode_target_texts(self.target_tokens.tokenizer, examples, first)
        return encoded

    def _encode_features(self, examples: Sequence[Example], first: int) -> Encoded:
        assert self.features
        rows = []
        for number, example in enumerate(examples, first):
            for step in _value(example, "features", number):
                if len(step) != self.features.size:
                    raise ExampleError(
                        *(example, number),
                        f"expected {self.features.size} features a step, as in training, got {len(step)}",
                    )
            rows.append(_numbers(example, number))
        return Encoded(features=Ragged.from_rows(rows, np.float32, self.features.size))

    def _encode_tokens(self, examples: Sequence[Example], first: int) -> Encoded:
        assert self.tokens
        tokenizer = self.tokens.tokenizer
        starts = None
        if self.pretokenized:
            words = [_words(example, number) for number, example in enumerate(examples, first)]
            ids, starts = tokenizer.encode_words(words, special=self.framed)
        else:
            texts = [_value(example, "text", number) for number, example in enumerate(examples, first)]
            ids = tokenizer.encode_texts(texts, special=self.framed)
            words = tokenizer.split(texts) if self.characters else []
        encoded = Encoded(ids=Ragged.from_rows(ids, np.int32))
        if starts is not None:
            encoded.word_starts = Ragged.from_rows(starts, np.int32)
        if self.characters:
            encoded.forms, encoded.characters = _encode_characters(self.characters, words)
        return encoded

    def _encode_target_texts(self, tokenizer: Tokenizer, examples: Sequence[Example], first: int) -> Ragged:
        texts = [_value(example, "target_text", number) for number, example in enumerate(examples, first)]
        rows = tokenizer.encode_texts(texts, special=False)  # a text to be written has one end, and no beginning
        return Ragged.from_rows([[*ids, tokenizer.eos_id] for ids in rows], np.int32)

    def _encode_targets(self, target: Target, examples: Sequence[Example], first: int) -> Ragged | Array:
        if target.kind == "label":
            labels = [_value(example, "label", number) for number, example in enumerate(examples, first)]
            return np.array([target.id_of(label) for label in labels], dtype=np.int64)
        if target.kind == "labels":
            matrix = np.zeros((len(examples), len(target.names)), dtype=np.float32)
            for number, example in enumerate(examples):
                known = [target.id_of(label) for label in _value(example, "labels", first + number)]
                matrix[number, [label for label in known if label != UNSEEN]] = 1
            return matrix
        rows = []
        for number, example in enumerate(examples, first):
            tags = [target.id_of(tag) for tag in _value(example, "tags", number)]
            mask = example.get("mask")
            if "tokens" in example and len(tags) != len(example["tokens"]):
                raise ExampleError(
                    *(example, number),
                    f"expected {len(example['tokens'])} tags, one for each token, found {len(tags)}",
                )
            if mask and len(mask) != len(tags):
                raise ExampleError(
                    *(example, number), f"expected {len(tags)} entries of mask, one for each tag, found {len(mask)}"
                )
            rows.append([tag if kept else IGNORED for tag, kept in zip(tags, mask, strict=True)] if mask else tags)
        return Ragged.from_rows(rows, np.int32)


def build_schema(
    examples: Iterable[Example],
    *,
    inputs: str,
    target: TargetKind | None,
    tokenizer: Spec = "word",
    characters: bool = False,
    max_word_length: int = 32,
) -> Schema:
    """Builds a schema from training examples, which are gone through several times.

    Args:
        examples: an iterable that can be started anew, such as a list or a data set.
        inputs: the key of the examples to read: "text", "tokens" or "features".
        target: the key to predict; None for none.
        tokenizer: how text is split, or words are looked up; see `tokenizer_registry`.
        characters: whether the characters of each word are an input beside it.
        max_word_length: characters kept of a longer word.

    Raises:
        ConfigurationError: characters are asked for with a tokenizer that has no words, or with features.
        DataError: there are no examples, no labels, or feature sequences of different sizes or not of finite numbers.
    """
    if inputs == "features":
        if characters:
            raise ConfigurationError("characters: true needs text or words, but the reader gives feature sequences")
        return Schema(None, None, _measure_features(examples), _collect_target(examples, target))
    pretokenized = inputs == "tokens"
    if pretokenized:
        trained = train_tokenizer(tokenizer, words=(example["tokens"] for example in examples))
    else:
        trained = train_tokenizer(tokenizer, texts=(example["text"] for example in examples))
    vocabulary = None
    if characters:
        if trained.kind != "word":
            raise ConfigurationError(
                f"characters: true needs tokenizer: word, got '{trained.kind}', whose tokens are not words; "
                f"choose one of the two"
            )
        vocabulary = _collect_characters(examples, None if pretokenized else trained, max_word_length)
    return Schema(TokenInput(trained), vocabulary, None, _collect_target(examples, target), pretokenized)


def build_pair_schema(
    examples: Iterable[Example], *, tokenizer: Spec = "bpe", target_tokenizer: Spec | None = None, shared: bool = False
) -> Schema:
    """Builds the schema of texts with a text to be written from each.

    Args:
        examples: an iterable that can be started anew, such as a list or a data set.
        tokenizer: how the source is split; see `tokenizer_registry`.
        target_tokenizer: how the target is split; None for the same recipe, trained on the targets.
        shared: whether one tokenizer is trained on both sides and serves both; there is no `target_tokenizer` then.

    Raises:
        ConfigurationError: the target's tokenizer has no end token.
        DataError: there are no examples, or no texts on a side.
    """
    sources = (example["text"] for example in examples)
    targets = (example["target_text"] for example in examples)
    if shared:
        source = target = TokenInput(train_tokenizer(tokenizer, texts=chain(sources, targets)))
    else:
        source = TokenInput(train_tokenizer(tokenizer, texts=sources))
        target = TokenInput(train_tokenizer(tokenizer if target_tokenizer is None else target_tokenizer, texts=targets))
    if target.tokenizer.eos_id is None:
        raise ConfigurationError(
            "a text to be written needs a tokenizer with an end token (eos), which this pretrained one lacks; "
            "choose another target_tokenizer"
        )
    return Schema(source, None, None, None, target_tokens=target)


def _collect_target(examples: Iterable[Example], kind: TargetKind | None) -> Target | None:
    if kind is None:
        return None
    counts: Counter[str] = Counter()
    for number, example in enumerate(examples):
        value = _value(example, kind, number)
        if kind == "label":
            counts[value] += 1
        elif kind == "tags" and example.get("mask"):
            counts.update(tag for tag, kept in zip(value, example["mask"], strict=True) if kept)
        else:
            counts.update(value)
    if not counts:
        raise DataError(f"the training data has no {kind}; expected at least one")
    names = tuple(sorted(counts))
    return Target(kind, names, tuple(counts[name] for name in names))


def _collect_characters(examples: Iterable[Example], tokenizer: Tokenizer | None, max_length: int) -> CharacterInput:
    words: Counter[str] = Counter()
    for example in examples:
        words.update(example["tokens"] if tokenizer is None else tokenizer.split([example["text"]])[0])
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    ordered = sorted(counts, key=lambda character: (-counts[character], character))
    return CharacterInput(tuple(ordered), max_length)


def _measure_features(examples: Iterable[Example]) -> FeatureInput:
    size, steps = 0, 0
    total = squares = np.zeros(0)
    for number, example in enumerate(examples):
        values = _numbers(example, number).astype(np.float64)
        if not values.size:
            continue
        if not size:
            size = values.shape[1]
            total, squares = np.zeros(size), np.zeros(size)
        if values.shape[1] != size:
            raise ExampleError(example, number, f"expected {size} features a step, got {values.shape[1]}")
        steps += len(values)
        total += values.sum(0)
        squares += (values**2).sum(0)
    if not steps:
        raise DataError("the training data has no features; expected at least one step")
    mean = total / steps
    std = np.sqrt(np.maximum(squares / steps - mean**2, 0))
    return FeatureInput(size, tuple(mean.tolist()), tuple(value if value > 1e-8 else 1.0 for value in std.tolist()))


def _numbers(example: Example, number: int) -> Array:
    """Returns the features (time, size) as float32, if they are finite numbers of that type."""
    features = _value(example, "features", number)
    try:
        with np.errstate(over="ignore"):
            values = np.asarray(features, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ExampleError(example, number, f"expected as many numbers at every step: {error}") from error
    finite = np.isfinite(values)
    if not finite.all():
        step, place = np.argwhere(~finite)[0].tolist()
        raise ExampleError(
            *(example, number),
            f"expected finite numbers (float32), found {features[step][place]} in feature {place + 1} of step "
            f"{step + 1}; mend the value, or leave the example out",
        )
    return values


def _encode_characters(characters: CharacterInput, words: Sequence[Sequence[str]]) -> tuple[Ragged, Ragged]:
    """Returns each token's form, a number that equal words share (rows as in `words`), and each token's characters."""
    ids = {character: number for number, character in enumerate(characters.vocabulary, start=2)}
    seen: dict[str, tuple[int, list[int]]] = {}
    forms: list[list[int]] = []
    spelled: list[list[int]] = []
    for row in words:
        forms.append([])
        for word in row:
            if word not in seen:
                digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
                spelling = [ids.get(character, 1) for character in characters.clip(word)]
                seen[word] = int.from_bytes(digest, "little", signed=True), spelling or [1]
            form, spelling = seen[word]
            forms[-1].append(form)
            spelled.append(spelling)
    return Ragged.from_rows(forms, np.int64), Ragged.from_rows(spelled, np.int32)


def _words(example: Example, number: int) -> list[str]:
    """Returns the tokens of an example, or the words of its text where that is all there is, as in prediction."""
    if not example.get("tokens") and example.get("text") is not None:
        return example["text"].split()
    return _value(example, "tokens", number)  # type: ignore[no-any-return]


def _value(example: Example, key: str, number: int) -> Any:
    if key in example and example[key] is None:  # type: ignore[literal-required]
        raise ExampleError(example, number, f"expected a value of '{key}', found none; leave the example out")
    if key not in example:
        raise ExampleError(example, number, f"expected the key '{key}', found: {', '.join(example) or 'none'}")
    return example[key]  # type: ignore[literal-required]
