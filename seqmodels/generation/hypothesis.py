"""What decoding returns for a row: the ids that it wrote and how probable they were."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A sequence that was generated.

    Args:
        ids: the ids written, the end of sequence as the last one if it came to that; without the first id.
        log_probs: the model's log probability of each id in nats, before any rule or temperature; as many as ids.
        score: by which hypotheses are ranked: the sum of `log_probs`, in beam search under its penalties.
        finished: whether it came to its end, by the end of sequence or a stop; False if it was cut at the maximal
            length or no id was allowed.
        attention: (ids, source_time), where the step looked when it wrote each id; None if that was not read.
    """

    ids: list[int]
    log_probs: list[float]
    score: float
    finished: bool
    attention: Tensor | None = None
