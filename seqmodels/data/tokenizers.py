"""A tokenizer: text or words to ids and back, whatever recipe it was trained by.

`tokenizer_training.py` holds the recipes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import tokenizers
from tokenizers import normalizers

from seqmodels.data.truecasing import Truecaser
from seqmodels.errors import CheckpointError, DataError

PAD_TOKEN, UNK_TOKEN, BOS_TOKEN, EOS_TOKEN = SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
LONG_TEXT = 2**18  # characters, beyond which a text is encoded by parts: a token takes a hundred bytes meanwhile
_BETWEEN_WORDS = re.compile(r"(?<=\S)[ \n](?=\S)")
NORMALIZERS: dict[str, Any] = {"nfc": normalizers.NFC(), "nfkc": normalizers.NFKC()}


class Tokenizer:
    """Turns texts and pretokenised rows into ids, and ids back into text.

    Nothing in a text is ever unknown to the point of failing: what the vocabulary lacks becomes `unk_id`, and so
    does the literal name of a special token (`<pad>`), which must not pass for the token itself.

    Args:
        backend: the Hugging Face fast tokenizer that does the work.
        kind: "word", "character", "bpe", "unigram" or "pretrained": decides how words are kept and how ids are joined.
        pad_id: the id that fills a batch.
        unk_id: the id of what the vocabulary lacks.
        bos_id: the id that opens a sequence; None if there is none.
        eos_id: the id that closes a sequence; None if there is none.
        joins_words_by_space: whether a word's pieces depend on the space before it (byte-level pieces do), so that a
            row of words is encoded as if joined by single spaces.
        normalization: the Unicode form that texts are put in before they are cut, "nfc" or "nfkc"; None for none.
        casing: the usual forms of words that begin a text with a capital, see `Truecaser`; None leaves case alone.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        kind: str,
        *,
        pad_id: int = 0,
        unk_id: int = 1,
        bos_id: int | None = 2,
        eos_id: int | None = 3,
        joins_words_by_space: bool = False,
        normalization: str | None = None,
        casing: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.pad_id, self.unk_id, self.bos_id, self.eos_id = pad_id, unk_id, bos_id, eos_id
        self.joins_words_by_space = joins_words_by_space
        self.normalization = normalization
        self.truecaser = None if casing is None else Truecaser(casing)
        self._backend = backend
        self._backend.encode_special_tokens = kind != "pretrained"
        self._vocabulary: dict[str, int] = backend.get_vocab(with_added_tokens=True)
        self.vocab_size = max(self._vocabulary.values()) + 1
        self._reserved = {id for id in (pad_id, bos_id, eos_id) if id is not None and id != unk_id}
        self._id_of_surface = {token: id for token, id in self._vocabulary.items() if id not in self._reserved}
        self._normalized_ids: dict[str, int] = {}

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """Every token, the special ones among them, with its id."""
        return self._vocabulary

    def encode_texts(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """Returns the ids of each raw text; an empty text has none.

        No special token is added, except by a pretrained tokenizer, which adds its own (`[CLS]` ... `[SEP]`) unless
        `special` is False.

        Raises:
            DataError: a text is no valid Unicode.
        """
        try:
            if self.kind == "character":
                for text in texts:
                    str.encode(text)  # which finds halves of characters, and what is no text
                return [self._ids_of_characters(text) for text in texts]
            if self.truecaser is None and self.kind != "pretrained" and max(map(len, texts), default=0) > LONG_TEXT:
                return [list(chain.from_iterable(map(self._ids_of_slice, slices(text)))) for text in texts]
            encodings = self._backend.encode_batch_fast(self._truecased(texts), add_special_tokens=special)
        except (TypeError, UnicodeEncodeError) as error:
            raise _invalid(texts, error) from error
        rows = [encoding.ids for encoding in encodings]
        return rows if self.kind == "pretrained" else [self._without_reserved(row) for row in rows]

    def _ids_of_slice(self, text: str) -> list[int]:
        (encoding,) = self._backend.encode_batch_fast([text])
        return self._without_reserved(encoding.ids)

    def _ids_of_characters(self, text: str) -> list[int]:
        """Returns the id of each character: looked up here, since the backend keeps a string for each token."""
        normalizer, ids, unknown = self._backend.normalizer, self._id_of_surface, self.unk_id
        characters = text if normalizer is None else normalizer.normalize_str(text)
        return [ids.get(character, unknown) for character in characters]

    def encode_words(
        self, words: Sequence[Sequence[str]], *, special: bool = True
    ) -> tuple[list[list[int]], list[list[int]] | None]:
        """Returns the ids of pretokenised rows, and for each row the index of each word's first piece.

        A word tokenizer gives each word exactly one id, and None for the indices. Every other kind gives each word
        at least one piece (`unk_id` for a word that has none, such as an empty one). As to `special`, see
        `encode_texts`.
        """
        if self.kind == "word":
            return [self._encode_row(row) for row in words], None
        encoded = self._encode_characters(words) if self.kind == "character" else self._encode_pieces(words, special)
        return [ids for ids, _ in encoded], [starts for _, starts in encoded]

    def split(self, texts: Sequence[str]) -> list[list[str]]:
        """Returns the words, as they are written (in the Unicode form asked for), of which `encode_texts` makes one id.

        For a word tokenizer `encode_words(split(texts))[0] == encode_texts(texts)`.
        """
        cut = self._backend.pre_tokenizer
        texts = self._truecased(texts)
        if self.normalization is not None:
            texts = [NORMALIZERS[self.normalization].normalize_str(text) for text in texts]
        return [[word for word, _ in cut.pre_tokenize_str(text)] if cut is not None else [text] for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of `ids`, without padding, begin and end.

        Exact for characters, BPE and unigram (up to `lowercase`, `truecase`, `normalization` and, for characters,
        unknown ones); the words of a word tokenizer are joined by single spaces; a pretrained tokenizer does what it
        does.
        """
        text = self._decode(ids)
        return text if self.truecaser is None else self.truecaser.restore(text)

    def _decode(self, ids: Sequence[int]) -> str:
        if self.kind == "pretrained":
            return str(self._backend.decode(list(ids), skip_special_tokens=True))
        kept = [id for id in ids if id not in self._reserved]
        if self.kind in ("bpe", "unigram"):
            return str(self._backend.decode(kept, skip_special_tokens=False))
        return (" " if self.kind == "word" else "").join(self.tokens(kept))

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Returns the token of each id, as the vocabulary writes it; `<unk>` for an id beyond the vocabulary."""
        return [self._backend.id_to_token(id) or UNK_TOKEN for id in ids]

    def readable(self, tokens: Sequence[str]) -> list[str]:
        """Returns tokens as one reads them: pieces over bytes as text, `▁` for a space; the others as they are."""
        if self.kind not in ("bpe", "unigram"):
            return list(tokens)
        texts = [token if token in SPECIAL_TOKENS else self._backend.decoder.decode([token]) for token in tokens]
        return [text.replace(" ", "\N{LOWER ONE EIGHTH BLOCK}") for text in texts]

    def id_of(self, token: str) -> int | None:
        """Returns the id of a token, as the vocabulary writes it; None if there is no such token."""
        return self._vocabulary.get(token)

    def to_record(self) -> dict[str, Any]:
        """Returns everything that `from_record` needs, in plain types."""
        record: dict[str, Any] = {
            "kind": self.kind,
            "json": self._backend.to_str(),
            "pad_id": self.pad_id,
            "unk_id": self.unk_id,
            "bos_id": self.bos_id,
            "eos_id": self.eos_id,
            "joins_words_by_space": self.joins_words_by_space,
            "normalization": self.normalization,
        }
        if self.truecaser is not None:
            record["casing"] = self.truecaser.forms
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Tokenizer:
        """Rebuilds the tokenizer of which `to_record` was taken.

        Raises:
            CheckpointError: the record lacks an entry, or its JSON is not a tokenizer.
        """
        fields = dict(record)
        try:
            backend = tokenizers.Tokenizer.from_str(fields.pop("json"))
            return cls(backend, **fields)
        except Exception as error:  # the backend raises bare `Exception` for damaged JSON
            raise CheckpointError(f"the stored tokenizer cannot be read: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer.from_record, (self.to_record(),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.to_record() == other.to_record()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Tokenizer(kind={self.kind!r}, vocab_size={self.vocab_size})"

    def _truecased(self, texts: Sequence[str]) -> list[str]:
        return list(texts) if self.truecaser is None else [self.truecaser.lower(text) for text in texts]

    def _without_reserved(self, ids: list[int]) -> list[int]:
        if self._reserved.isdisjoint(ids):
            return ids
        return [self.unk_id if id in self._reserved else id for id in ids]

    def _encode_row(self, words: Sequence[str]) -> list[int]:
        if self._backend.normalizer is None:
            return [self._id_of_surface.get(word, self.unk_id) for word in words]
        known = self._normalized_ids
        return [known[word] if word in known else self._normalized_id(word) for word in words]

    def _normalized_id(self, word: str) -> int:
        id = self._id_of_surface.get(self._backend.normalizer.normalize_str(word), self.unk_id)
        if len(self._normalized_ids) < 1_000_000:  # so that a server that runs for months does not grow
            self._normalized_ids[word] = id
        return id

    def _encode_characters(self, words: Sequence[Sequence[str]]) -> list[tuple[list[int], list[int]]]:
        space = self._id_of_surface.get(" ", self.unk_id)
        encoded = []
        for row in words:
            ids: list[int] = []
            starts: list[int] = []
            for word in row:
                if starts:
                    ids.append(space)
                starts.append(len(ids))
                ids += self._ids_of_characters(word) or [self.unk_id]
            encoded.append((ids, starts))
        return encoded

    def _encode_pieces(self, words: Sequence[Sequence[str]], special: bool) -> list[tuple[list[int], list[int]]]:
        if self.joins_words_by_space:
            rows = [[f" {word}" if index and word else word for index, word in enumerate(row)] for row in words]
        else:
            rows = [list(row) for row in words]
        encodings = self._backend.encode_batch(rows, is_pretokenized=True, add_special_tokens=special)
        return [self._with_starts(encoding, len(row)) for encoding, row in zip(encodings, rows, strict=True)]

    def _with_starts(self, encoding: Any, num_words: int) -> tuple[list[int], list[int]]:
        ids: list[int] = []
        starts: list[int] = []
        for id, word in zip(encoding.ids, encoding.word_ids, strict=True):
            if word is not None and word >= len(starts):
                self._fill_missing(ids, starts, word)
                starts.append(len(ids))
            elif word is None and starts:  # a closing token comes after the last word, also after one with no piece
                self._fill_missing(ids, starts, num_words)
            ids.append(id)
        self._fill_missing(ids, starts, num_words)
        return ids if self.kind == "pretrained" else self._without_reserved(ids), starts

    def _fill_missing(self, ids: list[int], starts: list[int], until: int) -> None:
        while len(starts) < until:
            starts.append(len(ids))
            ids.append(self.unk_id)


def slices(text: str) -> Iterator[str]:
    """Yields the parts of a text, each of about `LONG_TEXT` characters, cut where every tokenizer of words or of pieces
    cuts: before a single space or line end between two words. What is encoded of each is what is encoded of the whole.
    """
    begin = 0
    while len(text) - begin > LONG_TEXT:
        cut = _BETWEEN_WORDS.search(text, begin + LONG_TEXT)
        if cut is None:
            break
        yield text[begin : cut.start()]
        begin = cut.start()
    yield text[begin:]


def _invalid(texts: Sequence[str], error: Exception) -> DataError:
    """Returns what is wrong with the first of the texts that cannot be encoded."""
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            return DataError(f"text {number}: expected a text, got {type(text).__name__}")
        place = next((place for place, letter in enumerate(text) if "\ud800" <= letter <= "\udfff"), None)
        if place is not None:
            return DataError(
                f"text {number}: expected Unicode, found the half character {text[place]!r} at place {place + 1}; "
                f"read the file in the encoding that it was written in"
            )
    return DataError(f"the texts cannot be cut into tokens: {error}")
