"""Translation scores against the package sacrebleu, in parts and whole."""

from __future__ import annotations

import builtins
import copy
import gzip
import os
import pickle
import random
from pathlib import Path

import pytest
import torch

from seqmodels.errors import ConfigurationError
from seqmodels.metrics import TranslationScores, sentence_bleu

sacrebleu = pytest.importorskip("sacrebleu")

REFERENCES = [
    "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.",
    "Zwei Männer stehen am Herd und bereiten Essen zu.",
    "Fünf Leute in Winterjacken und mit Helmen stehen im Schnee; Schneemobile im Hintergrund.",
    "Das kostet 1.299,50 € – oder 3,5% mehr (als 2016).",
    'Sie rief: "Müller & Söhne?!" und lief 12-mal um den Block...',
    "Ein Hund",
    "東京の空は青い。 Straße ﬁn naïve 🙂 e\u0301",
    "Tom &amp; Jerry &quot;laufen&quot; <skipped> http://www.example.org/a-b_c",
    "",
    "ja",
    "Ein Junge, der ein rot-weißes Hemd trägt, springt über den Zaun, der das Feld vom Weg trennt.",
]
HYPOTHESES = [
    "Ein Mann mit orangem Hut starrt etwas an.",
    "Am Herd stehen zwei Männer und bereiten Essen zu.",
    "Fünf Leute in Winterjacken und mit Helmen stehen im Schnee; Schneemobile im Hintergrund.",
    "das kostet 1.299,5 € oder 3,5 % mehr als 2016",
    "",
    "ein hund läuft über die Wiese \n",
    "東京 の 空は 青い。 Strasse fin naive 🙂 é",
    'Tom & Jerry "laufen" http://www.example.org/',
    "etwas",
    "nein",
    "Über den Zaun, der das Feld vom Weg trennt, springt ein Junge, der ein weiß-rotes Hemd trägt.",
]
CASES = {
    "mixed": (HYPOTHESES, REFERENCES),
    "identical": (REFERENCES, REFERENCES),
    "all wrong": (["xyz xyz xyz xyz xyz", "qqq"], ["Ein Hund bellt laut .", "ja"]),
    "no 4-gram right": (["ein Hund bellt leise heute"], ["ein Hund bellt laut heute"]),
    "all hypotheses empty": (["", " \n"], ["Ein Hund.", "ja"]),
    "all references empty": (["Ein Hund.", "ja"], ["", ""]),
    "all empty": (["", ""], ["", ""]),
    "short": (["ja"], ["ja"]),
    "repeating": (["der der der " * 29], ["der Hund, der bellt"]),
}


def scores_of(hypotheses: list[str], references: list[str], size: int = 1000) -> TranslationScores:
    metric = TranslationScores()
    for start in range(0, len(hypotheses), size):
        metric.update(hypotheses[start : start + size], references[start : start + size])
    return metric


def expected(hypotheses: list[str], references: list[str]) -> dict[str, float]:
    return {
        "bleu": sacrebleu.corpus_bleu(hypotheses, [references], force=True).score,
        "chrf": sacrebleu.corpus_chrf(hypotheses, [references]).score,
        "ter": sacrebleu.corpus_ter(hypotheses, [references]).score,
        "exact_match": sum(map(str.__eq__, hypotheses, references)) / len(references),
    }


def values(metric: TranslationScores) -> dict[str, float]:
    return {name: float(score) for name, score in metric.compute().items()}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_equals_sacrebleu(case: str, size: int) -> None:
    hypotheses, references = CASES[case]
    assert values(scores_of(hypotheses, references, size)) == pytest.approx(expected(hypotheses, references), abs=1e-9)


def test_equals_sacrebleu_on_random_text() -> None:
    choose = random.Random(3)
    words = ["der", "Der", "Hund,", "bellt", "3,5", "a-b", "ß", "(x)", "e\u0301", "\u00a0", "\u2028", "-", "."]
    for _ in range(31):
        hypotheses, references = (
            [" ".join(choose.choices(words, k=choose.randrange(13))) for _ in range(5)] for _ in range(2)
        )
        wanted = expected(hypotheses, references)
        assert values(scores_of(hypotheses, references, 2)) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.skipif("SEQMODELS_DATA" not in os.environ, reason="needs the data sets")
def test_equals_sacrebleu_on_multi30k() -> None:
    path = Path(os.environ["SEQMODELS_DATA"]) / "multi30k" / "val.de.gz"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()[:307]
    shifted = [*lines[1:], lines[0].upper()]
    halves = [line[len(line) // 2 :] + line[: len(line) // 2] for line in lines[:11]]  # few: TER looks for the moves
    for hypotheses in (shifted, halves):
        references = lines[: len(hypotheses)]
        wanted = expected(hypotheses, references)
        assert values(scores_of(hypotheses, references, 17)) == pytest.approx(wanted, abs=1e-9)


def test_signatures_are_those_of_sacrebleu() -> None:
    scorers = {"bleu": sacrebleu.BLEU(), "chrf": sacrebleu.CHRF(), "ter": sacrebleu.TER()}
    for scorer in scorers.values():
        scorer.corpus_score(HYPOTHESES, [REFERENCES])
    found = TranslationScores().signatures()
    assert found == {name: str(scorer.get_signature()) for name, scorer in scorers.items()}
    assert found["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_merged_equals_whole() -> None:
    first, second = scores_of(HYPOTHESES[:5], REFERENCES[:5]), scores_of(HYPOTHESES[5:], REFERENCES[5:])
    first.merge_state(second)
    assert values(first) == values(scores_of(HYPOTHESES, REFERENCES))


def test_order_and_empty_batches_change_nothing() -> None:
    metric = scores_of(HYPOTHESES[::-1], REFERENCES[::-1], 2)
    metric.update([], [])
    assert values(metric) == values(scores_of(HYPOTHESES, REFERENCES))


def test_counts_of_processes_are_summed() -> None:
    metric = scores_of(HYPOTHESES, REFERENCES)
    assert set(metric._reductions) == {"bleu_counts", "chrf_counts", "ter_counts", "exact_counts"}
    metric.dist_sync_fn = lambda counts, group: [counts, counts]
    metric.distributed_available_fn = lambda: True
    assert values(metric) == values(scores_of(2 * HYPOTHESES, 2 * REFERENCES))
    assert metric.exact_counts.tolist() == [1, len(REFERENCES)]


def test_copies_and_resets() -> None:
    metric = scores_of(HYPOTHESES, REFERENCES)
    for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert values(other) == values(metric)
    metric.reset()
    metric.update(["ja"], ["ja"])
    assert values(metric)["exact_match"] == 1


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_scores_zero() -> None:
    assert values(TranslationScores()) == {"bleu": 0, "chrf": 0, "ter": 0, "exact_match": 0}
    assert all(score.dtype == torch.float64 for score in TranslationScores().compute().values())


def test_sentence_bleu_equals_sacrebleu() -> None:
    for hypothesis, reference in zip(HYPOTHESES, REFERENCES, strict=True):
        assert sentence_bleu(hypothesis, reference) == sacrebleu.sentence_bleu(hypothesis, [reference]).score
    assert sentence_bleu("Ein Hund bellt.", "Ein Hund bellt.") == pytest.approx(100)
    assert sentence_bleu("ja", "ja") == pytest.approx(100)


def test_errors() -> None:
    metric = TranslationScores()
    with pytest.raises(ConfigurationError, match="needs one reference, got 2 hypotheses and 3 references"):
        metric.update(["a", "b"], ["a", "b", "c"])
    with pytest.raises(ConfigurationError, match=r"hypotheses must be a list of strings, got one string"):
        metric.update("ab", ["a", "b"])
    with pytest.raises(ConfigurationError, match="references must be strings, got list at position 1; decode ids"):
        metric.update(["a", "b"], ["a", [3, 5]])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="the hypothesis must be strings, got int at position 0"):
        sentence_bleu(7, "a")  # type: ignore[arg-type]


def test_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    whole_import = builtins.__import__

    def without_sacrebleu(name: str, *arguments: object, **options: object) -> object:
        if name == "sacrebleu":
            raise ImportError(name)
        return whole_import(name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_sacrebleu)
    with pytest.raises(ConfigurationError, match=r"need the package sacrebleu: pip install 'seqmodels\[translation\]'"):
        TranslationScores()
