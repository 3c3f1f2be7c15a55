"""Named columns: how a row of a table, whatever file it comes from, becomes an example."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard

from seqmodels.data.readers.reader import Example, Reader, check_lengths, reader_registry
from seqmodels.errors import ConfigurationError, DataError, did_you_mean


class NamedColumns:
    """Says which column holds what, and makes an example of a row.

    A column may be nested: `translation.en` is the key `en` of the column `translation`, unless there is a column of
    just that name.

    Args:
        reader: the name of the reader whose columns they are, for messages.
        text: column of raw text. One of `text`, `tokens` and `features` must be given.
        tokens: column of tokens: a list, or one string of them with `token_separator` between.
        features: column of feature sequences: for each step a list of numbers, or one number.
        label: column of the one class of each example. At most one of `label`, `labels`, `tags` and `target_text` may
            be given.
        labels: column of any number of classes: a list, or one string of them with `label_separator` between.
        tags: column of tags, one for each token: a list, or one string with `token_separator` between.
        target_text: column of raw text that is to be written, such as a translation.
        mask: column that is false (or 0) at every token whose tag is not scored.
        id: column that names the example in predictions.
        token_separator: what stands between tokens; `""` makes every character a token.
        label_separator: what stands between the classes of `labels`.

    Raises:
        ConfigurationError: not one input, more than one target, tags without tokens, a mask without tags.
    """

    def __init__(
        self,
        reader: str,
        *,
        text: str | None = None,
        tokens: str | None = None,
        features: str | None = None,
        label: str | None = None,
        labels: str | None = None,
        tags: str | None = None,
        target_text: str | None = None,
        mask: str | None = None,
        id: str | None = None,
        token_separator: str = " ",
        label_separator: str = ",",
    ) -> None:
        inputs = {"text": text, "tokens": tokens, "features": features}
        targets = {"label": label, "labels": labels, "tags": tags, "target_text": target_text}
        chosen = [key for key, column in inputs.items() if column is not None]
        if len(chosen) != 1:
            raise ConfigurationError(
                f"exactly one of text, tokens and features must name a column, got {', '.join(chosen) or 'none'}; "
                f"such as reader: {{name: {reader}, text: text, label: label}}"
            )
        self.inputs = chosen[0]
        self._input_column = str(inputs[self.inputs])
        chosen = [key for key, column in targets.items() if column is not None]
        if len(chosen) > 1:
            raise ConfigurationError(
                f"at most one of label, labels, tags and target_text may name a column, got {', '.join(chosen)}"
            )
        self.targets = chosen[0] if chosen else None
        self._target_column = None if self.targets is None else str(targets[self.targets])
        if self.targets == "tags" and self.inputs == "text":
            raise ConfigurationError("tags belong to tokens; name the column of tokens by `tokens`, not by `text`")
        if mask is not None and self.targets != "tags":
            raise ConfigurationError("a mask says which tags are scored; name the column of `tags` too")
        if not label_separator:
            raise ConfigurationError("label_separator must be at least one character, got ''")
        self._mask_column = mask
        self._id_column = id
        self._token_separator = token_separator
        self._label_separator = label_separator

    def names(self, *, targets: bool) -> list[str]:
        """Returns the columns that are read, those of the targets only if they are wanted."""
        wanted = [self._input_column, self._id_column, *(self.target_names() if targets else ())]
        return list(dict.fromkeys(name for name in wanted if name is not None))

    def target_names(self) -> list[str]:
        """Returns the columns that only training needs."""
        return [name for name in (self._target_column, self._mask_column) if name is not None]

    def columns(self, present: Collection[str], *, targets: bool) -> list[str]:
        """Returns which of the columns that are `present` are read, whole where only a key inside is wanted."""
        return list(dict.fromkeys(_column(name, present) for name in self.names(targets=targets)))

    def check(self, present: Collection[str], where: str, *, targets: bool, advice: str = "") -> None:
        """Checks that the columns that are read are there.

        Raises:
            DataError: one is not; names those present and the nearest.
        """
        for name in self.names(targets=targets):
            if _column(name, present) not in present:
                listed = ", ".join(present) or "none"
                raise DataError(
                    f"{where}: no column '{name}'; the columns are: {listed}{did_you_mean(name, present)}{advice}"
                )

    def example(self, row: Mapping[str, Any], where: str, *, targets: bool) -> Example:
        """Makes an example of a row that was found at `where`.

        Raises:
            DataError: a column is missing, its value is not of the kind that was asked for, or the parts of the
                example differ in length.
        """
        self.check(row.keys(), where, targets=targets)
        example: Example = {}
        value, column = _cell(row, self._input_column, where), f"{where}: column '{self._input_column}'"
        if self.inputs == "text":
            example["text"] = _string(value, column)
        elif self.inputs == "tokens":
            example["tokens"] = _strings(value, self._token_separator, column)
        else:
            example["features"] = _features(value, column)
        if targets and self._target_column is not None:
            value, column = _cell(row, self._target_column, where), f"{where}: column '{self._target_column}'"
            if self.targets == "label":
                example["label"] = _label(value, column)
            elif self.targets == "labels":
                example["labels"] = [
                    name.strip() for name in _strings(value, self._label_separator, column) if name.strip()
                ]
            elif self.targets == "target_text":
                example["target_text"] = _string(value, column)
            else:
                example["tags"] = _strings(value, self._token_separator, column)
        if targets and self._mask_column is not None:
            example["mask"] = _mask(_cell(row, self._mask_column, where), f"{where}: column '{self._mask_column}'")
        if self._id_column is not None:
            example["id"] = _label(_cell(row, self._id_column, where), f"{where}: column '{self._id_column}'")
        check_lengths(example, self.inputs, where)
        return example


def _column(name: str, present: Collection[str]) -> str:
    """Returns the column that a name, which may go on inside it after a dot, belongs to."""
    root = name.split(".")[0]
    return root if name not in present and root in present else name


def _cell(row: Mapping[str, Any], name: str, where: str) -> Any:
    """Returns what a row holds under a name, key by key where it is nested.

    Raises:
        DataError: there is no such key; names those there are and the nearest.
    """
    column = _column(name, row.keys())
    value = row[column]
    if column == name:
        return value
    for key in name.split(".")[1:]:
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: column '{column}': expected the key '{key}' inside, found {_shown(value)}")
        if key not in value:
            listed = ", ".join(value) or "none"
            raise DataError(
                f"{where}: column '{column}' has no key '{key}'; its keys are: {listed}{did_you_mean(key, value)}"
            )
        value, column = value[key], f"{column}.{key}"
    return value


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: expected text, found {_shown(value)}")
    return value


def _label(value: object, where: str) -> str:
    """A class or an identifier: text, or what a column of integers or booleans holds, as text."""
    if not isinstance(value, (str, int, float)) or value == "" or value != value:
        raise DataError(f"{where}: expected a name or a number, found {_shown(value)}")
    if isinstance(value, float) and value.is_integer():  # a column of integers with gaps comes as floats
        value = int(value)
    return str(value)


def _strings(value: object, separator: str, where: str) -> list[str]:
    if isinstance(value, str):
        if separator == "":
            return list(value)
        parts = value.split(separator)
        return [part for part in parts if part] if separator == " " else parts
    if not _is_list(value):
        raise DataError(f"{where}: expected a list or one text, found {_shown(value)}")
    return [_label(part, where) for part in value]


def _features(value: object, where: str) -> list[list[float]]:
    if not _is_list(value):
        raise DataError(f"{where}: expected a list with the numbers of each step, found {_shown(value)}")
    try:
        steps = [[float(number) for number in step] if _is_list(step) else [float(step)] for step in value]
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: expected numbers at every step: {error}") from error
    for place, step in enumerate(steps, start=1):
        if not all(map(math.isfinite, step)):
            found = next(number for number in step if not math.isfinite(number))
            raise DataError(f"{where}: expected finite numbers, found {found} at step {place}")
    return steps


def _mask(value: object, where: str) -> list[bool]:
    if not _is_list(value) or not all(flag in (0, 1) for flag in value):
        raise DataError(f"{where}: expected a list of true and false or of 1 and 0, found {_shown(value)}")
    return [bool(flag) for flag in value]


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _shown(value: object) -> str:
    """A value as an error shows it: not more than one would like to read."""
    if value is None:
        return "nothing (null)"
    written = repr(value)
    return written if len(written) <= 60 else written[:57] + "..."


class TableReader(Reader):
    """A reader of rows that have named columns.

    Args:
        text: column of raw text. One of `text`, `tokens` and `features` must be given.
        tokens: column of tokens: a list, or one string of them with `token_separator` between.
        features: column of feature sequences: for each step a list of numbers, or one number.
        label: column of the one class of each example. At most one of `label`, `labels`, `tags` and `target_text` may
            be given.
        labels: column of any number of classes: a list, or one string of them with `label_separator` between.
        tags: column of tags, one for each token: a list, or one string with `token_separator` between.
        target_text: column of raw text that is to be written, such as a translation.
        mask: column that is false (or 0) at every token whose tag is not scored.
        id: column that names the example in predictions.
        token_separator: what stands between tokens; `""` makes every character a token.
        label_separator: what stands between the classes of `labels`.
    """

    def __init__(
        self,
        *,
        text: str | None = None,
        tokens: str | None = None,
        features: str | None = None,
        label: str | None = None,
        labels: str | None = None,
        tags: str | None = None,
        target_text: str | None = None,
        mask: str | None = None,
        id: str | None = None,
        token_separator: str = " ",
        label_separator: str = ",",
    ) -> None:
        self._named = NamedColumns(
            reader_registry.name_of(type(self)),
            text=text,
            tokens=tokens,
            features=features,
            label=label,
            labels=labels,
            tags=tags,
            target_text=target_text,
            mask=mask,
            id=id,
            token_separator=token_separator,
            label_separator=label_separator,
        )
        self.inputs = self._named.inputs
        self.targets = self._named.targets
