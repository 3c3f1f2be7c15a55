"""Text that a language model writes: prompts read, tokens generated, their text put together as it comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqmodels.argument_types import check_types
from seqmodels.data.readers import Example
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.encoders import State, select_rows
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.generation import BeamOptions, GenerationOptions, Stop, beam_search, generate, stream
from seqmodels.networks import LanguageModelingNetwork

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # what the first bytes of a character are decoded to
_PIECES_A_CHARACTER = 4  # pieces over bytes make at most so many of a character
_CONTEXT = 8  # tokens before a piece of text that it is decoded with: white space and parts of characters depend on it
_BLOCK = 128  # tokens that are decoded again for each new one


@dataclass(frozen=True, kw_only=True)
class WritingOptions:
    """How a text goes on.

    Args:
        max_length: tokens to write at most.
        min_length: tokens to write before the end of the text is allowed; a stop ends it whenever it comes.
        temperature: 0 always takes the likeliest token; above, tokens are drawn from softmax(logits / temperature).
        top_k: draws from this many likeliest tokens; None from all.
        top_p: draws from the likeliest tokens that together have this probability, in (0, 1]; 1 from all.
        repetition_penalty: above 1, tokens of the prompt and of what was written get less likely; 1 leaves them.
        no_repeat_ngram: no sequence of this many tokens occurs twice, the prompt included; None allows it.
        stop: texts at the first of which the writing ends; they are not part of the result.
        stop_at_end: whether the end of a text ends the writing; else it is a line break, and the next text follows.
        allow_unknown: whether the token for unknown words may be written.
        beam_size: above 1, the likeliest text is searched among so many candidates, instead of drawing tokens.
        length_penalty: of beam search: 0 ranks by probability, which favours short texts; up to 1 favours longer ones.
        seed: of the random numbers; the same seed writes the same. Without effect where nothing is drawn.

    Raises:
        ConfigurationError: an option is out of range, or has no meaning beside the others.
    """

    max_length: int = 100
    min_length: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int | None = None
    stop: Sequence[str] = ()
    stop_at_end: bool = True
    allow_unknown: bool = False
    beam_size: int = 1
    length_penalty: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):
            raise ConfigurationError(f"stop must be a list of texts, got the text {self.stop!r}; put it in brackets")
        check_types("generate", type(self), vars(self))
        for name, value in vars(self).items():
            if value is None and name not in ("top_k", "no_repeat_ngram"):
                raise ConfigurationError(f"generate: {name} needs a value, got None; leave it out for its default")
        if not all(isinstance(text, str) for text in self.stop):
            raise ConfigurationError(f"generate: stop must be a list of texts, got {list(self.stop)!r}")
        if "" in self.stop:
            raise ConfigurationError("stop: an empty text is everywhere; leave it out")
        self.tokens(())
        if self.min_length and not self.stop_at_end:
            raise ConfigurationError(
                f"min_length has no meaning with stop_at_end: false, where no end ends the text, got {self.min_length};"
                " leave one of the two out"
            )
        if self.beam_size == 1:
            self._check_drawing()
        else:
            self._check_beam()

    def _check_drawing(self) -> None:
        if self.length_penalty:
            raise ConfigurationError(
                f"length_penalty has no meaning without a beam, got {self.length_penalty} with beam_size: 1; "
                f"set beam_size above 1, or leave it out"
            )
        for name, given in (("top_k", self.top_k is not None), ("top_p", self.top_p != 1)):
            if given and self.temperature == 0:
                raise ConfigurationError(f"{name} has no meaning with temperature 0, which draws nothing; raise it")

    def _check_beam(self) -> None:
        self.beam(())
        drawing = {
            "temperature": self.temperature != 1,
            "top_k": self.top_k is not None,
            "top_p": self.top_p != 1,
            "repetition_penalty": self.repetition_penalty != 1,
            "stop": bool(self.stop),
            "stop_at_end: false": not self.stop_at_end,
        }
        for name, given in drawing.items():
            if given:
                raise ConfigurationError(f"{name} has no meaning with beam_size: {self.beam_size}; give one of the two")

    def tokens(self, forbidden: Sequence[int]) -> GenerationOptions:
        """Returns the options of drawing tokens, with those that are never written."""
        return GenerationOptions(
            max_length=self.max_length,
            min_length=self.min_length,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            repetition_penalty=self.repetition_penalty,
            no_repeat_ngram=self.no_repeat_ngram,
            forbidden_ids=tuple(forbidden),
            seed=self.seed,
        )

    def beam(self, forbidden: Sequence[int]) -> BeamOptions:
        """Returns the options of beam search, with the tokens that are never written."""
        return BeamOptions(
            beam_size=self.beam_size,
            max_length=self.max_length,
            min_length=self.min_length,
            length_penalty=self.length_penalty,
            no_repeat_ngram=self.no_repeat_ngram,
            forbidden_ids=tuple(forbidden),
        )


class Writer:
    """Writes on where prompts stop.

    Args:
        network: the language model, in evaluation mode.
        options: how.

    Raises:
        ConfigurationError: the model is not one of tokens.
    """

    def __init__(self, network: LanguageModelingNetwork, options: WritingOptions) -> None:
        self.network = network
        self.options = options
        self.end_id = network.end_id
        assert network.schema.tokens is not None
        self.tokenizer: Tokenizer = network.schema.tokens.tokenizer
        never = {self.tokenizer.pad_id, self.tokenizer.bos_id}
        never |= set() if options.allow_unknown else {self.tokenizer.unk_id}
        # some pretrained tokenizers use one token for all of these
        self.forbidden = sorted(id for id in never - {self.end_id} if id is not None)

    def check(self, prompts: Sequence[str]) -> None:
        """Makes sure that prompts can be read.

        Raises:
            DataError: a word of a prompt is not in the vocabulary.
        """
        for number, prompt in enumerate(prompts):
            self._ids(prompt, number)

    @torch.inference_mode()
    def texts(self, prompts: Sequence[str], *, first: int = 0) -> list[str]:
        """Returns for each prompt the text that follows it, which ends where the model, or an option, ends it.

        Args:
            prompts: the beginnings; an empty one begins a new text.
            first: the number of the first prompt, on which random numbers depend.

        Raises:
            DataError: a word of a prompt is not in the vocabulary.
        """
        if not prompts:
            return []
        rows = [self._ids(prompt, number) for number, prompt in enumerate(prompts, first)]
        state, last = self._read(rows)
        if self.options.beam_size > 1:
            found = beam_search(
                *(self.network.step, state, last, self.options.beam(self.forbidden)),
                eos_id=self.end_id,
                prompts=rows,
            )
            written = [hypotheses[0].ids for hypotheses in found]
        else:
            hypotheses = generate(
                *(self.network.step, state, last, self.options.tokens(self.forbidden)),
                eos_id=self._end(),
                prompts=rows,
                stops=self._stops(rows) if self.options.stop else None,
                row_numbers=range(first, first + len(rows)),
            )
            written = [hypothesis.ids for hypothesis in hypotheses]
        return [self._cut(self._text(row, ids)) for row, ids in zip(rows, written, strict=True)]

    @torch.inference_mode()
    def stream(self, prompt: str) -> Iterator[str]:
        """Yields the text that follows a prompt piece by piece, as it is written; beam search yields it whole.

        Raises:
            DataError: a word of the prompt is not in the vocabulary.
        """
        if self.options.beam_size > 1:
            yield self.texts([prompt])[0]
            return
        row = self._ids(prompt, 0)
        state, last = self._read([row])
        steps = stream(
            *(self.network.step, state, last, self.options.tokens(self.forbidden)),
            eos_id=self._end(),
            prompts=[row],
            stops=self._stops([row]) if self.options.stop else None,
        )
        before, ids, shown = row, list[int](), 0  # `shown` characters of the text of `ids`, behind that of `before`
        longest = max(map(len, self.options.stop), default=0)
        for step in steps:
            ids += step.ids
            text = self._text(before, ids)
            if len(self._cut(text)) < len(text):
                break
            safe = len(text) if not longest else max(0, len(text) - longest)  # a stop may begin in what is held back
            if text.endswith(_UNFINISHED):
                safe = min(safe, len(text.rstrip(_UNFINISHED)))
            if safe > shown:
                yield text[shown:safe]
                shown = safe
            if len(ids) >= _BLOCK and self._may_part:
                half = len(ids) // 2
                past = self._text(before, ids[:half])
                if len(past) <= shown and not past.endswith(_UNFINISHED):  # all shown: need not be decoded again
                    before, ids, shown = ids[:half], ids[half:], shown - len(past)
        rest = self._cut(self._text(before, ids))[shown:]
        if rest:
            yield rest

    def _ids(self, prompt: str, number: int) -> list[int]:
        """Returns the tokens that a prompt is read as.

        What it is read after, the end of the text before it, is not among them: nothing has been written yet.
        """
        if not isinstance(prompt, str):
            raise DataError(f"prompt {number + 1}: expected a text, got {type(prompt).__name__}")
        schema = self.network.schema
        example: Example = {"tokens": prompt.split()} if schema.pretokenized else {"text": prompt}
        encoded = schema.encode([example], targets=False, first=number).ids
        assert encoded is not None
        ids = [self.tokenizer.unk_id if id == self.end_id else id for id in encoded.values.tolist()]
        unknown = self._unknown(" ".join(example["tokens"]) if schema.pretokenized else prompt, ids)
        if unknown:
            listed = ", ".join(map(repr, dict.fromkeys(unknown[:5])))
            raise DataError(
                f"prompt {number + 1}: not in the model's vocabulary of {self.tokenizer.vocab_size:,}: {listed}; "
                f"choose other words, or write <unk> for each"
            )
        return ids

    def _unknown(self, prompt: str, ids: list[int]) -> list[str]:
        """Returns the words or characters of a prompt that the vocabulary lacks, up to those written as unknown."""
        unk_id = self.tokenizer.unk_id
        if unk_id not in ids or self.tokenizer.kind not in ("word", "character"):
            return []
        if self.tokenizer.kind == "character":
            return [character for character, id in zip(prompt, ids, strict=False) if id == unk_id]
        written = self.tokenizer.tokens([unk_id])[0]
        (words,) = [prompt.split()] if self.network.schema.pretokenized else self.tokenizer.split([prompt])
        # a tokenizer that parts punctuation parts the brackets of the token too
        if "".join(words).count(written) == ids.count(unk_id):
            return []
        return [word for word, id in zip(words, ids, strict=True) if id == unk_id and word != written]

    def _read(self, rows: list[list[int]]) -> tuple[State, Tensor]:
        """Returns the state before the last token of each row, and that token (rows,): of an empty row, the end."""
        device = next(self.network.parameters()).device
        places: dict[tuple[int, ...], int] = {}  # of several samples of a prompt, it is read once
        index = [places.setdefault((self.end_id, *row), len(places)) for row in rows]
        lengths = torch.tensor([len(row) - 1 for row in places])
        ids = torch.full((len(places), max(1, int(lengths.max()))), self.tokenizer.pad_id)
        for place, row in enumerate(places):
            ids[place, : len(row) - 1] = torch.tensor(row[:-1], dtype=torch.int64)
        last = torch.tensor([row[-1] for row in places], device=device)
        state, chosen = self.network.read(ids.to(device), lengths.to(device)), torch.tensor(index, device=device)
        return select_rows(state, chosen), last.index_select(0, chosen)

    def _end(self) -> int | None:
        return self.end_id if self.options.stop_at_end else None

    @property
    def _may_part(self) -> bool:
        """Whether the text of a part is that part of the text: truecasing looks at where sentences begin."""
        return self.tokenizer.truecaser is None

    def _stops(self, rows: list[list[int]]) -> Stop:
        longest = _PIECES_A_CHARACTER * (max(map(len, self.options.stop)) + 1)

        def stops(row: int, ids: list[int]) -> bool:
            # the last piece of the stop is the newest token: a tail of the text is enough to look at
            past = max(0, len(ids) - longest) if self._may_part else 0
            text = self._text([*rows[row], *ids[:past]], ids[past:])
            return len(self._cut(text)) < len(text)

        return stops

    def _text(self, before: list[int], written: list[int]) -> str:
        """Returns the text of what was written, white space between it and what is before included."""
        before = before[-_CONTEXT:] if self._may_part else before
        return self._decode([*before, *written])[len(self._decode(before)) :]

    def _decode(self, ids: list[int]) -> str:
        """Returns the text of ids, with a line break for the end of a text."""
        parts: list[list[int]] = [[]]
        for id in ids:
            if id == self.end_id:
                parts.append([])
            else:
                parts[-1].append(id)
        if len(parts) > 1 and self.options.stop_at_end and not parts[-1]:
            parts.pop()  # the end that ended the writing
        return "\n".join(map(self.tokenizer.decode, parts))

    def _cut(self, text: str) -> str:
        """Returns the text up to the first stop."""
        places = [place for place in (text.find(stop) for stop in self.options.stop) if place >= 0]
        return text[: min(places)] if places else text
