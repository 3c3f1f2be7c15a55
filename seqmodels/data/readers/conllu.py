"""CoNLL-U, the format of Universal Dependencies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from seqmodels.data.readers.reader import Example, Reader, read_lines, register_reader
from seqmodels.errors import ConfigurationError, DataError, did_you_mean

FIELDS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
ABSENT = "_"  # how CoNLL-U writes a field without value
SENTENCE_NAME = re.compile(r"#\s*sent_id\s*=\s*(.*\S)")


@register_reader("conllu")
class ConlluReader(Reader):
    """Reads the words of each sentence with one of their fields as the tag.

    Rows of multiword tokens (`1-2`) and empty nodes (`1.1`) are skipped; the sentence's `sent_id` names the example.

    Args:
        label: the field that is the tag: `upos`, `xpos`, `feats`, `deprel`, `lemma`, or any other by its name in lower
            case, or one feature of `feats` such as `feats.Number`. A field or feature without value gives `_`.

    Reference:
        https://universaldependencies.org/format.html. Sentences need not have comments.
    """

    inputs = "tokens"
    targets = "tags"

    def __init__(self, *, label: str = "upos") -> None:
        field, _, feature = label.partition(".")
        if field not in FIELDS or (feature and field != "feats") or label.endswith("."):
            raise ConfigurationError(
                f"label must be a field of CoNLL-U ({', '.join(FIELDS)}) or one feature such as feats.Number, "
                f"got '{label}'{did_you_mean(field, FIELDS)}"
            )
        self._column = FIELDS.index(field)
        self._feature = feature

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a sentence.

        Raises:
            DataError: a row has not 10 tab-separated columns, or its id is none.
        """
        example: Example = {"tokens": [], "tags": []}
        for number, line in read_lines(path):
            if not line.strip():
                if example["tokens"]:
                    yield _finished(example, targets)
                example = {"tokens": [], "tags": []}
            elif line.startswith("#"):
                name = SENTENCE_NAME.match(line)
                if name:
                    example["id"] = name[1]
            else:
                columns = line.split("\t")
                if len(columns) != len(FIELDS):
                    raise DataError(
                        f"{path}:{number}: expected {len(FIELDS)} tab-separated columns ({', '.join(FIELDS)}), "
                        f"found {len(columns)}"
                    )
                if columns[0].isdecimal():
                    example["tokens"].append(columns[1])
                    example["tags"].append(self._tag(columns))
                elif not re.fullmatch(r"\d+[-.]\d+", columns[0]):
                    raise DataError(f"{path}:{number}: expected an id such as 3, 3-4 or 3.1, found {columns[0]!r}")
        if example["tokens"]:
            yield _finished(example, targets)

    def _tag(self, columns: list[str]) -> str:
        value = columns[self._column]
        if not self._feature or value == ABSENT:
            return value or ABSENT
        features = dict(pair.partition("=")[::2] for pair in value.split("|"))
        return features.get(self._feature, ABSENT)


def _finished(example: Example, targets: bool) -> Example:
    if not targets:
        del example["tags"]
    return example
