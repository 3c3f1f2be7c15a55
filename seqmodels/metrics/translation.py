"""BLEU, chrF and TER of translations as sacreBLEU gives them, of counts that can be summed in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from types import ModuleType

import torch
from torch import Tensor
from torchmetrics import Metric

from seqmodels.errors import ConfigurationError

BLEU_ORDER = 4
CHRF_ORDER = 6
CHRF_BETA = 2


class TranslationScores(Metric):
    """Scores detokenised translations, each against one reference: corpus BLEU, chrF2, TER and exact match.

    BLEU and TER are sacreBLEU's own, with its defaults: BLEU of 13a tokens, mixed case, exponential smoothing; TER of
    tercom's tokens, lower case. chrF2 is of character n-grams up to 6 without spaces, its precision and recall averaged
    over the orders that both sides have. What is kept are counts; the ratios are those of the sums, not means over
    batches or sentences.

    Give it text as a person would write it: scores of tokenised text are not comparable with those of others. It counts
    on the host, about a millisecond a sentence, where few words move; TER's search for moved ones can take most of a
    second for a sentence of fifty words that are there but in another order, so bound how many sentences it is given.

    Raises:
        ConfigurationError: sacreBLEU is not installed.

    Reference:
        Post (2018), A call for clarity in reporting BLEU scores; Papineni et al. (2002), BLEU; Popović (2015), chrF;
        Snover et al. (2006), A study of translation edit rate.
    """

    full_state_update = False
    bleu_counts: Tensor
    chrf_counts: Tensor
    ter_counts: Tensor
    exact_counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        _sacrebleu()  # missing, it is to be said before the training, not at the first validation
        # hypothesis and reference words, then correct and proposed n-grams of each order
        self.add_state("bleu_counts", torch.zeros(2 + 2 * BLEU_ORDER, dtype=torch.long), dist_reduce_fx="sum")
        # of each order the n-grams of the hypotheses, of the references and of both
        self.add_state("chrf_counts", torch.zeros(CHRF_ORDER, 3, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("ter_counts", torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")  # edits, reference words
        self.add_state("exact_counts", torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")  # equal, sentences

    def update(self, hypotheses: Sequence[str], references: Sequence[str]) -> None:
        """Counts as many hypotheses as references; both may be empty.

        Raises:
            ConfigurationError: they are not two lists of strings of one length.
        """
        _check_texts("hypotheses", hypotheses)
        _check_texts("references", references)
        if len(hypotheses) != len(references):
            raise ConfigurationError(
                f"TranslationScores: every hypothesis needs one reference, got {len(hypotheses)} hypotheses and "
                f"{len(references)} references"
            )
        if not hypotheses:
            return
        equal = sum(hypothesis == reference for hypothesis, reference in zip(hypotheses, references, strict=True))
        self.bleu_counts = self.bleu_counts + self._tensor(_bleu_counts(hypotheses, references))
        self.chrf_counts = self.chrf_counts + self._tensor(_chrf_counts(hypotheses, references)).view(CHRF_ORDER, 3)
        self.ter_counts = self.ter_counts + self._tensor(_ter_counts(hypotheses, references))
        self.exact_counts = self.exact_counts + self._tensor([equal, len(hypotheses)])

    def _tensor(self, counts: list[int]) -> Tensor:
        return torch.tensor(counts, dtype=torch.long, device=self.device)

    def compute(self) -> dict[str, Tensor]:
        """Returns `bleu` and `chrf` in [0, 100], `ter` from 0 (in percent, may exceed 100) and `exact_match` in [0, 1].

        All are float64 scalars on the host, 0 of no sentences.
        """
        equal, sentences = self.exact_counts.tolist()
        scores = {
            "bleu": _bleu(self.bleu_counts.tolist()),
            "chrf": _chrf(self.chrf_counts.tolist()),
            "ter": _ter(*self.ter_counts.tolist()),
            "exact_match": equal / max(1, sentences),
        }
        return {name: torch.tensor(score, dtype=torch.float64) for name, score in scores.items()}

    def signatures(self) -> dict[str, str]:
        """Returns what sacreBLEU prints beside `bleu`, `chrf` and `ter`, with the version that is installed.

        chrF's counts are added up here, where sacreBLEU has no public way to; they are tested to equal its own.
        """
        package = _sacrebleu()
        scorers = {"bleu": package.BLEU(), "chrf": package.CHRF(), "ter": package.TER()}
        for scorer in scorers.values():
            scorer.corpus_score([""], [[""]])  # the signature tells the number of references, known once it has scored
        return {name: str(scorer.get_signature()) for name, scorer in scorers.items()}


def sentence_bleu(hypothesis: str, reference: str) -> float:
    """Returns sacreBLEU's BLEU in [0, 100] of one sentence, over the orders of n-grams that it is long enough for.

    It ranks translations of a sentence; its mean over sentences is not the BLEU of the corpus.

    Raises:
        ConfigurationError: sacreBLEU is not installed, or these are not strings.
    """
    _check_texts("the hypothesis", [hypothesis])
    _check_texts("the reference", [reference])
    return float(_sacrebleu().sentence_bleu(hypothesis, [reference]).score)


def _sacrebleu() -> ModuleType:
    try:
        import sacrebleu
    except ImportError as error:
        raise ConfigurationError(
            "BLEU, chrF and TER need the package sacrebleu: pip install 'seqmodels[translation]'"
        ) from error
    return sacrebleu


def _check_texts(what: str, texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise ConfigurationError(f"{what} must be a list of strings, got one string; put it into a list")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ConfigurationError(
                f"{what} must be strings, got {type(text).__name__} at position {place}; decode ids to text first"
            )


def _bleu_counts(hypotheses: Sequence[str], references: Sequence[str]) -> list[int]:
    # force: its warning of tokenised text comes at 100 sentences a call, so it would depend on the size of the batch
    score = _sacrebleu().BLEU(force=True).corpus_score(hypotheses, [references])
    return [score.sys_len, score.ref_len, *score.counts, *score.totals]


def _bleu(counts: list[int]) -> float:
    hypothesis_words, reference_words, *ngrams = counts
    correct, proposed = ngrams[:BLEU_ORDER], ngrams[BLEU_ORDER:]
    bleu = _sacrebleu().BLEU.compute_bleu
    return float(bleu(correct, proposed, hypothesis_words, reference_words, smooth_method="exp").score)


def _ter_counts(hypotheses: Sequence[str], references: Sequence[str]) -> list[int]:
    score = _sacrebleu().TER().corpus_score(hypotheses, [references])
    return [int(score.num_edits), int(score.ref_length)]


def _ter(edits: int, reference_words: int) -> float:
    """Returns edits per 100 reference words; 100, as sacreBLEU has it, where all references are empty."""
    if not reference_words:
        return 100.0 if edits else 0.0
    return 100 * edits / reference_words


def _chrf_counts(hypotheses: Sequence[str], references: Sequence[str]) -> list[int]:
    """Returns the n-grams of the hypotheses, of the references and of both, for each order in turn.

    Those of a hypothesis whose reference is too short to have any of that order do not count, as in sacreBLEU.
    """
    counts = [0] * (3 * CHRF_ORDER)
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        pairs = zip(_character_ngrams(hypothesis), _character_ngrams(reference), strict=True)
        for place, (proposed, wanted) in enumerate(pairs):
            counts[3 * place] += sum(proposed.values()) if wanted else 0
            counts[3 * place + 1] += sum(wanted.values())
            counts[3 * place + 2] += sum(min(count, wanted[ngram]) for ngram, count in proposed.items())
    return counts


def _character_ngrams(text: str) -> Iterator[Counter[str]]:
    characters = "".join(text.split())
    for order in range(1, CHRF_ORDER + 1):
        yield Counter(characters[start : start + order] for start in range(len(characters) - order + 1))


def _chrf(counts: list[list[int]]) -> float:
    """Returns `(1 + b^2) P R / (b^2 P + R)` in percent, P and R the means over the orders that both sides have."""
    orders = [(both / proposed, both / wanted) for proposed, wanted, both in counts if proposed and wanted]
    precision = sum(precision for precision, _ in orders) / max(1, len(orders))
    recall = sum(recall for _, recall in orders) / max(1, len(orders))
    if not precision + recall:
        return 0.0
    return 100 * (1 + CHRF_BETA**2) * precision * recall / (CHRF_BETA**2 * precision + recall)
