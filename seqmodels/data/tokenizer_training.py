"""Recipes that make a `Tokenizer` of a corpus, and the registry that a spec names them by."""

from __future__ import annotations

import heapq
import itertools
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from seqmodels.data.tokenizers import NORMALIZERS, SPECIAL_TOKENS, UNK_TOKEN, Tokenizer, slices
from seqmodels.data.truecasing import Truecaser
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.registry import Registry, Spec

# English clitics, numbers with their separators, words, runs of one punctuation mark; white space is dropped.
_WORD_OR_PUNCTUATION = r"['’](?i:s|t|d|m|ll|ve|re)\b|\d+(?:[.,]\d+)+(?!\w)|\w+|([^\w\s])\1*"
_ANY_CHARACTER = r"[\s\S]"
_SMALLEST_BYTE_LEVEL = len(SPECIAL_TOKENS) + 256


class TokenizerTrainer(ABC):
    """Makes a tokenizer of a corpus; its constructor's arguments are what a spec may set."""

    @abstractmethod
    def train(self, texts: Iterable[str] | None, words: Iterable[Sequence[str]] | None) -> Tokenizer:
        """Returns the tokenizer of a corpus of raw `texts`, or of pretokenised rows of `words` (exactly one is given).

        Raises:
            DataError: the corpus holds nothing to count.
        """


tokenizer_registry: Registry[TokenizerTrainer] = Registry("tokenizer", TokenizerTrainer)
register_tokenizer = tokenizer_registry.register
list_tokenizers = tokenizer_registry.names

TokenizerSpec = Spec
Normalization = Literal["nfc", "nfkc"]


def train_tokenizer(
    spec: TokenizerSpec, *, texts: Iterable[str] | None = None, words: Iterable[Sequence[str]] | None = None
) -> Tokenizer:
    """Makes the tokenizer that `spec` names of raw `texts` or of pretokenised rows of `words`.

    Raises:
        ConfigurationError: the spec is wrong, or not exactly one of `texts` and `words` is given.
        DataError: the corpus holds nothing to count.
    """
    if (texts is None) == (words is None):
        raise ConfigurationError("train_tokenizer: expected exactly one of texts and words")
    return tokenizer_registry.create(spec).train(texts, words)


@tokenizer_registry.register("word")
class WordTrainer(TokenizerTrainer):
    """Whole words: one id for each, `<unk>` for those that the training data lacks.

    Ids follow the counts, highest first, equal ones alphabetically.

    Args:
        lowercase: whether case is ignored (character inputs still see it).
        min_count: words seen less often become `<unk>`.
        max_size: the number of words kept at most, beside the four special tokens; None for all.
        split: how a raw text is cut. "punctuation" parts words, numbers, English clitics ('s, n't as 't) and runs of
            a punctuation mark; "whitespace" cuts at white space alone, for text that is tokenised already.
            Pretokenised rows are not cut.
        normalize_digits: whether every digit counts as 0, so that 1987 and 2026 are one word.
        normalization: "nfc" makes one character of a letter and its accent, "nfkc" also plain letters of ligatures,
            full-width and other compatible forms; None takes a text as it is written.
        truecase: whether the first word of a text is read as it is mostly written within texts, and texts that are
            written begin with a capital again; for raw texts.
    """

    def __init__(
        self,
        *,
        lowercase: bool = False,
        min_count: int = 1,
        max_size: int | None = None,
        split: Literal["punctuation", "whitespace"] = "punctuation",
        normalize_digits: bool = False,
        normalization: Normalization | None = None,
        truecase: bool = False,
    ) -> None:
        if split not in ("punctuation", "whitespace"):
            raise ConfigurationError(f"tokenizer 'word': split must be 'punctuation' or 'whitespace', got {split!r}")
        _check_at_least("word", "min_count", min_count, 1)
        if max_size is not None:
            _check_at_least("word", "max_size", max_size, 1)
        self.lowercase = lowercase
        self.min_count = min_count
        self.max_size = max_size
        self.split = split
        self.normalize_digits = normalize_digits
        self.normalization = _check_normalization("word", normalization)
        self.truecase = truecase

    def train(self, texts: Iterable[str] | None, words: Iterable[Sequence[str]] | None) -> Tokenizer:
        texts, casing = _truecased("word", texts, words) if self.truecase else (texts, None)
        normalizer = _normalizer(self.normalization, lowercase=self.lowercase, normalize_digits=self.normalize_digits)
        cut: Any = pre_tokenizers.WhitespaceSplit()
        if self.split == "punctuation":
            cut = pre_tokenizers.Split(Regex(_WORD_OR_PUNCTUATION), "removed", invert=True)
        if words is None:
            normalized = _normalized(texts or (), self.normalization)
            parts = itertools.chain.from_iterable(map(slices, normalized))
            words = ([word for word, _ in cut.pre_tokenize_str(part)] for part in parts)
        counts = Counter(itertools.chain.from_iterable(words))
        return _most_frequent(
            *("word", counts, normalizer, cut, self.min_count, self.max_size),
            normalization=self.normalization,
            casing=casing,
        )


@tokenizer_registry.register("character")
class CharacterTrainer(TokenizerTrainer):
    """Single characters (Unicode code points), spaces among them; `<unk>` for those that the training data lacks.

    Args:
        lowercase: whether case is ignored.
        min_count: characters seen less often become `<unk>`.
        normalization: "nfc" makes one character of a letter and its accent, "nfkc" also plain letters of ligatures,
            full-width and other compatible forms; None takes a text as it is written.
    """

    def __init__(
        self, *, lowercase: bool = False, min_count: int = 1, normalization: Normalization | None = None
    ) -> None:
        _check_at_least("character", "min_count", min_count, 1)
        self.lowercase = lowercase
        self.min_count = min_count
        self.normalization = _check_normalization("character", normalization)

    def train(self, texts: Iterable[str] | None, words: Iterable[Sequence[str]] | None) -> Tokenizer:
        counts: Counter[str] = Counter()
        for text in _normalized(_as_texts(texts, words), self.normalization):
            counts.update(text)
        cut = pre_tokenizers.Split(Regex(_ANY_CHARACTER), "isolated")
        normalizer = _normalizer(self.normalization, lowercase=self.lowercase)
        return _most_frequent(
            *("character", counts, normalizer, cut, self.min_count, None), normalization=self.normalization
        )


@tokenizer_registry.register("bpe")
class BytePairTrainer(TokenizerTrainer):
    """Byte-pair encoding over bytes: frequent words are one piece, others several, and no text is unknown.

    Reference: Sennrich, Haddow and Birch 2016; over bytes and with the word boundaries of Radford et al. 2019.

    Args:
        vocab_size: the number of pieces at most, the four special tokens and 256 bytes among them.
        lowercase: whether case is ignored; decoding then gives lower case.
        min_count: a pair seen less often is not joined.
        normalization: "nfc" makes one character of a letter and its accent, "nfkc" also plain letters of ligatures,
            full-width and other compatible forms; None takes a text as it is written, and decoding is exact.
        truecase: whether the first word of a text is read as it is mostly written within texts, and texts that are
            written begin with a capital again; for raw texts.
    """

    def __init__(
        self,
        *,
        vocab_size: int = 8_000,
        lowercase: bool = False,
        min_count: int = 2,
        normalization: Normalization | None = None,
        truecase: bool = False,
    ) -> None:
        _check_at_least("bpe", "vocab_size", vocab_size, _SMALLEST_BYTE_LEVEL)
        _check_at_least("bpe", "min_count", min_count, 1)
        self.vocab_size = vocab_size
        self.lowercase = lowercase
        self.min_count = min_count
        self.normalization = _check_normalization("bpe", normalization)
        self.truecase = truecase

    def train(self, texts: Iterable[str] | None, words: Iterable[Sequence[str]] | None) -> Tokenizer:
        texts, casing = _truecased("bpe", texts, words) if self.truecase else (texts, None)
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_count,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        normalizer = _normalizer(self.normalization, lowercase=self.lowercase)
        return _train_byte_level(
            *("bpe", models.BPE(), trainer, normalizer, _as_texts(texts, words)),
            normalization=self.normalization,
            casing=casing,
        )


@tokenizer_registry.register("unigram")
class UnigramTrainer(TokenizerTrainer):
    """The most probable cut into pieces under a unigram model, over bytes, so no text is unknown.

    Reference: Kudo 2018 ("Subword regularization"), without the sampling; over bytes instead of characters.

    Args:
        vocab_size: the number of pieces at most, the four special tokens and 256 bytes among them.
        lowercase: whether case is ignored; decoding then gives lower case.
        normalization: "nfc" makes one character of a letter and its accent, "nfkc" also plain letters of ligatures,
            full-width and other compatible forms; None takes a text as it is written, and decoding is exact.
        truecase: whether the first word of a text is read as it is mostly written within texts, and texts that are
            written begin with a capital again; for raw texts.
    """

    def __init__(
        self,
        *,
        vocab_size: int = 8_000,
        lowercase: bool = False,
        normalization: Normalization | None = None,
        truecase: bool = False,
    ) -> None:
        _check_at_least("unigram", "vocab_size", vocab_size, _SMALLEST_BYTE_LEVEL)
        self.vocab_size = vocab_size
        self.lowercase = lowercase
        self.normalization = _check_normalization("unigram", normalization)
        self.truecase = truecase

    def train(self, texts: Iterable[str] | None, words: Iterable[Sequence[str]] | None) -> Tokenizer:
        texts, casing = _truecased("unigram", texts, words) if self.truecase else (texts, None)
        trainer = trainers.UnigramTrainer(
            vocab_size=self.vocab_size,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            unk_token=UNK_TOKEN,
            show_progress=False,
        )
        normalizer = _normalizer(self.normalization, lowercase=self.lowercase)
        return _train_byte_level(
            *("unigram", models.Unigram(), trainer, normalizer, _as_texts(texts, words)),
            normalization=self.normalization,
            casing=casing,
        )


@tokenizer_registry.register("pretrained")
class PretrainedTokenizer(TokenizerTrainer):
    """The tokenizer of a pretrained model, kept whole, so that loading a checkpoint needs neither it nor transformers.

    Where it has no padding token, the end token (or the unknown one) fills batches.

    Args:
        path: a local folder, or a name on the Hugging Face hub.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def train(self, texts: Iterable[str] | None, words: Iterable[Sequence[str]] | None) -> Tokenizer:
        """Returns the tokenizer; the corpus is not read.

        Raises:
            ConfigurationError: transformers is not installed, the tokenizer cannot be loaded, or it is not a fast one.
        """
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise ConfigurationError(
                "tokenizer 'pretrained' needs transformers: pip install 'seqmodels[pretrained]'"
            ) from error
        try:
            loaded: Any = AutoTokenizer.from_pretrained(self.path)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigurationError(
                f"tokenizer 'pretrained': cannot load '{self.path}' as a local folder or from the hub: {error}"
            ) from error
        if not loaded.is_fast:
            raise ConfigurationError(
                f"tokenizer 'pretrained': '{self.path}' has no fast tokenizer (tokenizer.json), only "
                f"{type(loaded).__name__}; choose a model with one, or convert it with transformers"
            )
        backend = tokenizers.Tokenizer.from_str(loaded.backend_tokenizer.to_str())
        backend.no_truncation()
        backend.no_padding()
        bos_id = loaded.bos_token_id if loaded.bos_token_id is not None else loaded.cls_token_id
        eos_id = loaded.eos_token_id if loaded.eos_token_id is not None else loaded.sep_token_id
        unk_id = _first_known(loaded.unk_token_id, loaded.pad_token_id, eos_id, 0)
        return Tokenizer(
            backend,
            "pretrained",
            pad_id=_first_known(loaded.pad_token_id, eos_id, unk_id),
            unk_id=unk_id,
            bos_id=bos_id,
            eos_id=eos_id,
            joins_words_by_space=_has_byte_level_without_prefix(json.loads(backend.to_str())["pre_tokenizer"]),
        )


def _check_at_least(name: str, argument: str, value: int, least: int) -> None:
    if value < least:
        reason = ": the four special tokens and one for each byte" if least == _SMALLEST_BYTE_LEVEL else ""
        raise ConfigurationError(f"tokenizer '{name}': {argument} must be at least {least}{reason}, got {value}")


def _first_known(*ids: int | None) -> int:
    return next(id for id in ids if id is not None)


def _check_normalization(name: str, normalization: str | None) -> str | None:
    if normalization is not None and normalization not in NORMALIZERS:
        raise ConfigurationError(
            f"tokenizer '{name}': normalization must be {', '.join(NORMALIZERS)} or null, got {normalization!r}"
        )
    return normalization


def _normalizer(normalization: str | None, *, lowercase: bool, normalize_digits: bool = False) -> Any:
    steps = [] if normalization is None else [NORMALIZERS[normalization]]
    steps += [normalizers.Replace(Regex(r"\d"), "0")] * normalize_digits + [normalizers.Lowercase()] * lowercase
    return normalizers.Sequence(steps) if steps else None


def _normalized(texts: Iterable[str], normalization: str | None) -> Iterable[str]:
    """Returns the texts as the tokenizer will see them before it cuts them, but for case and digits."""
    return texts if normalization is None else map(NORMALIZERS[normalization].normalize_str, texts)


def _truecased(
    name: str, texts: Iterable[str] | None, words: Iterable[Sequence[str]] | None
) -> tuple[list[str], Mapping[str, str]]:
    """Returns the texts with their first words in the usual form, and these forms."""
    if texts is None or words is not None:
        raise ConfigurationError(
            f"tokenizer '{name}': truecase: true needs raw texts, whose first word it can tell; got rows of words"
        )
    texts = list(texts)
    truecaser = Truecaser.learn(texts)
    return [truecaser.lower(text) for text in texts], truecaser.forms


def _as_texts(texts: Iterable[str] | None, words: Iterable[Sequence[str]] | None) -> Iterator[str]:
    rows = texts if texts is not None else (" ".join(row) for row in words or ())
    return itertools.chain.from_iterable(map(slices, rows))


def _most_frequent(
    kind: str,
    counts: Counter[str],
    normalizer: Any,
    cut: Any,
    min_count: int,
    max_size: int | None,
    *,
    normalization: str | None,
    casing: Mapping[str, str] | None = None,
) -> Tokenizer:
    """Makes a tokenizer of the most frequent entries of `counts`, which are not yet normalised."""
    if normalizer is not None:
        written, counts = counts, Counter()
        for entry, count in written.items():
            normalized = normalizer.normalize_str(entry)
            counts[normalized] += count
    for special in ("", *SPECIAL_TOKENS):
        counts.pop(special, None)
    if not counts:
        raise DataError(f"tokenizer '{kind}': the training data holds no {kind}s; is the right column or file read?")
    frequent = (entry for entry in counts if counts[entry] >= min_count)
    kept = heapq.nsmallest(max_size or len(counts), frequent, key=lambda entry: (-counts[entry], entry))
    counts.clear()  # a corpus of many words has no memory to spare
    vocabulary = {entry: id for id, entry in enumerate((*SPECIAL_TOKENS, *kept))}
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=UNK_TOKEN))
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = cut
    return Tokenizer(backend, kind, normalization=normalization, casing=casing)


def _train_byte_level(
    kind: str,
    model: Any,
    trainer: Any,
    normalizer: Any,
    texts: Iterator[str],
    *,
    normalization: str | None,
    casing: Mapping[str, str] | None = None,
) -> Tokenizer:
    first = next((text for text in texts if text), None)
    if first is None:
        raise DataError(f"tokenizer '{kind}': the training data holds no text; is the right column or file read?")
    backend = tokenizers.Tokenizer(model)
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(itertools.chain([first], texts), trainer)
    backend = _with_short_scores(backend)
    return Tokenizer(backend, kind, joins_words_by_space=True, normalization=normalization, casing=casing)


def _with_short_scores(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """Rounds a unigram model's scores (nats), whose last digit would change with every saving and loading."""
    record = json.loads(backend.to_str())
    if record["model"]["type"] == "Unigram":
        record["model"]["vocab"] = [[piece, round(score, 9)] for piece, score in record["model"]["vocab"]]
    return tokenizers.Tokenizer.from_str(json.dumps(record))


def _has_byte_level_without_prefix(pre_tokenizer: Any) -> bool:
    if not isinstance(pre_tokenizer, dict):
        return False
    if pre_tokenizer["type"] == "Sequence":
        return any(map(_has_byte_level_without_prefix, pre_tokenizer["pretokenizers"]))
    return pre_tokenizer["type"] == "ByteLevel" and not pre_tokenizer["add_prefix_space"]
