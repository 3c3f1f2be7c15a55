"""Truecasing: the capital that begins a sentence, taken away where the word is not written so elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

_WORD = re.compile(r"\w+")
_LETTER = re.compile(r"[^\W\d_]")


class Truecaser:
    """Writes the first word of a text as it is mostly written within texts, and gives a text its capital letter back.

    Args:
        forms: the usual form of words whose first letter is no capital, by the form with one: `{"Two": "two"}`.

    Reference:
        Lita, Ittycheriah, Roukos and Kambhatla (2003), tRuEcasIng; as Koehn's recaser of Moses does it, the first word
        of a text alone is changed, and words that are seen there only are left as they are.
    """

    def __init__(self, forms: Mapping[str, str]) -> None:
        self.forms = dict(forms)

    @classmethod
    def learn(cls, texts: Iterable[str]) -> Truecaser:
        """Counts how words are written that do not begin a text; of forms that are as frequent the first one stays."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_WORD.findall(text)[1:])
        forms = {}
        for word, count in counts.items():
            raised = word[0].upper() + word[1:]
            if raised != word and count > counts[raised]:
                forms[raised] = word
        return cls(dict(sorted(forms.items())))

    def lower(self, text: str) -> str:
        """Returns the text with its first word in its usual form."""
        first = _WORD.search(text)
        if first is None or first[0] not in self.forms:
            return text
        return text[: first.start()] + self.forms[first[0]] + text[first.end() :]

    def restore(self, text: str) -> str:
        """Returns the text with a capital for its first letter."""
        first = _LETTER.search(text)
        if first is None:
            return text
        return text[: first.start()] + first[0].upper() + text[first.end() :]
