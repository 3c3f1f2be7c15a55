"""Linear-chain conditional random field: exact likelihood, marginals and best paths, and constrained decoding."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from seqmodels.errors import ConfigurationError
from seqmodels.first_derivative import first_derivative_only
from seqmodels.losses import at_least_float32
from seqmodels.masking import lengths_to_mask, reverse_within, zero_beyond
from seqmodels.tags import Constraints

_FORBIDDEN = -500.0
"""Score in nats of a forbidden transition in the likelihood: exp of it is nothing beside 1, and still a float64."""

_EXCLUDED = -1e4
"""Score in nats of a tag that is not the gold one, where the numerator of a partly scored row must avoid it."""

_NEVER = -1e8
"""Score in nats of a forbidden transition in decoding: no logits make up for it, so it is taken only if every
path has one, and then as rarely as possible."""


class CRF(nn.Module):
    """Scores whole sequences of tags, from the logits of each step and the transitions between neighbours.

    `score(y) = start[y_1] + sum_t logits[t, y_t] + sum_t transitions[y_t, y_t+1] + end[y_T]`, and
    `p(y) = exp(score(y)) / sum_y' exp(score(y'))`. All scores are in nats and are computed in float32 or better,
    also under autocast. Time is linear in steps; no step is a Python loop over rows or tags.

    Args:
        num_tags: how many tags there are.
        constraints: which tags may begin, follow each other and end (`tags.allowed_transitions`); forbidden ones
            have no probability in the likelihood and are never decoded. None allows everything.

    Raises:
        ConfigurationError: `num_tags` is not positive, or the constraints are of another number of tags.

    Reference:
        Lafferty, McCallum and Pereira (2001), Conditional random fields, section 3; with the start and end scores
        of Lample et al. (2016), Neural architectures for named entity recognition, section 2.2.
    """

    allowed_start: Tensor
    allowed_transitions: Tensor
    allowed_end: Tensor

    def __init__(self, num_tags: int, *, constraints: Constraints | None = None) -> None:
        super().__init__()
        if num_tags < 1:
            raise ConfigurationError(f"CRF: num_tags must be a positive integer, got {num_tags}")
        if constraints is None:
            allowed = [
                torch.ones(shape, dtype=torch.bool) for shape in ((num_tags,), (num_tags, num_tags), (num_tags,))
            ]
            constraints = Constraints(*allowed)
        shapes = [tuple(part.shape) for part in constraints]
        if shapes != [(num_tags,), (num_tags, num_tags), (num_tags,)]:
            raise ConfigurationError(
                f"CRF: constraints for {num_tags} tags must have the shapes ({num_tags},), ({num_tags}, {num_tags}), "
                f"({num_tags},), got {', '.join(map(str, shapes))}; make them with tags.allowed_transitions"
            )
        self.num_tags = num_tags
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.transitions = nn.Parameter(torch.zeros(num_tags, num_tags))  # (tag before, tag after)
        self.end = nn.Parameter(torch.zeros(num_tags))
        # derived from the tag names, so not a part of the state dict
        self.register_buffer("allowed_start", constraints.start, persistent=False)
        self.register_buffer("allowed_transitions", constraints.transitions, persistent=False)
        self.register_buffer("allowed_end", constraints.end, persistent=False)

    def log_likelihood(self, logits: Tensor, tags: Tensor, lengths: Tensor, mask: Tensor | None = None) -> Tensor:
        """Computes the log probability of the gold tags.

        With a mask it is that of the scored tags alone: the sum over all sequences that agree with them.

        Args:
            logits: (batch, time, tags).
            tags: (batch, time) int64; beyond the lengths and where not scored, anything.
            lengths: (batch,) int64.
            mask: (batch, time) bool, True where a tag is scored, anything beyond the lengths; None where all are.

        Returns:
            (batch,) in nats, of a whole row: divide the sum by the number of tokens for a mean. A row of length zero,
            or with nothing scored, gives 0; gold tags that the constraints forbid give some -500 for each offence.
        """
        if mask is None or _covers(mask, lengths):
            return self._path_score(logits, tags, lengths) - self.log_partition(logits, lengths)
        logits = at_least_float32(logits)
        gold = nn.functional.one_hot(tags.clamp(min=0), self.num_tags).bool()
        consistent = logits.masked_fill(mask.unsqueeze(2) & ~gold, _EXCLUDED)  # (batch, time, tags)
        # one recursion over both: its cost is the number of steps rather than the number of rows
        both = self.log_partition(torch.cat([consistent, logits]), torch.cat([lengths, lengths]))
        numerator, denominator = both.chunk(2)
        return numerator - denominator

    def log_partition(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Computes the log of the summed exponentiated scores of all tag sequences.

        Args:
            logits: (batch, time, tags).
            lengths: (batch,) int64.

        Returns:
            (batch,) in nats, 0 for a row of length zero. Differentiable once.
        """
        start, transitions, end = self._scores(_FORBIDDEN)
        if torch.is_grad_enabled():
            return _LogPartition.apply(logits, start, transitions, end, lengths)  # type: ignore[no-any-return]
        forward, _ = _messages(logits, start, transitions, end, lengths, backward=False)
        return _close(forward, end, lengths).to(at_least_float32(logits).dtype)

    @torch.no_grad()
    def marginals(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Computes the probability of each tag at each step, given the whole row.

        Args:
            logits: (batch, time, tags).
            lengths: (batch,) int64.

        Returns:
            (batch, time, tags), summing to 1 at each real step and zero beyond the lengths.
        """
        start, transitions, end = self._scores(_FORBIDDEN)
        forward, backward = _messages(logits, start, transitions, end, lengths, backward=True)
        log_partition = _close(forward, end, lengths)
        return _marginals(logits, forward, backward, log_partition, lengths).to(at_least_float32(logits).dtype)

    def decode(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Finds each row's most probable sequence of tags (Viterbi).

        Args:
            logits: (batch, time, tags).
            lengths: (batch,) int64.

        Returns:
            tags (batch, time) int64, zero beyond the lengths.
        """
        tags, _ = _best_paths(logits, lengths, *self._scores(_NEVER), n=1)
        return tags[:, 0]

    def decode_n_best(self, logits: Tensor, lengths: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Finds each row's `n` most probable sequences of tags, all different, best first.

        Args:
            logits: (batch, time, tags).
            lengths: (batch,) int64.
            n: how many, 1 or more.

        Returns:
            tags (batch, n, time) int64, zero beyond the lengths; and scores (batch, n) in nats, from which
            `log_partition` is to be taken for log probabilities. Where a row has fewer than `n` sequences that the
            constraints allow, the rest are zeros with the score -inf.

        Raises:
            ConfigurationError: `n` is not positive.
        """
        if n < 1:
            raise ConfigurationError(f"n of the n-best sequences must be a positive integer, got {n}")
        tags, scores = _best_paths(logits, lengths, *self._scores(_NEVER), n=n)
        absent = scores < _NEVER / 2
        return tags.masked_fill(absent.unsqueeze(2), 0), scores.masked_fill(absent, float("-inf"))

    def _scores(self, forbidden: float) -> tuple[Tensor, Tensor, Tensor]:
        return (
            self.start.masked_fill(~self.allowed_start, forbidden),
            self.transitions.masked_fill(~self.allowed_transitions, forbidden),
            self.end.masked_fill(~self.allowed_end, forbidden),
        )

    def _path_score(self, logits: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Returns the score (batch,) of the sequences `tags` (batch, time)."""
        if logits.size(1) == 0:
            return at_least_float32(logits).new_zeros(logits.size(0))
        start, transitions, end = self._scores(_FORBIDDEN)
        mask = lengths_to_mask(lengths, logits.size(1))
        tags = tags.masked_fill(~mask, 0)
        emitted = at_least_float32(logits).gather(2, tags.unsqueeze(2)).squeeze(2)  # (batch, time)
        moved = transitions.flatten()[tags[:, :-1] * self.num_tags + tags[:, 1:]]  # (batch, time - 1)
        last = tags.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        inside = emitted.masked_fill(~mask, 0).sum(1) + moved.masked_fill(~mask[:, 1:], 0).sum(1)
        return inside + (start[tags[:, 0]] + end[last]).masked_fill(lengths == 0, 0)


def decode_constrained(logits: Tensor, lengths: Tensor, constraints: Constraints) -> Tensor:
    """Finds the best sequence of tags that the constraints allow, where a softmax scored each step by itself.

    Args:
        logits: (batch, time, tags).
        lengths: (batch,) int64.
        constraints: which tags may begin, follow each other and end.

    Returns:
        tags (batch, time) int64, zero beyond the lengths.
    """
    scores = [
        torch.zeros(part.shape, device=logits.device).masked_fill(~part.to(logits.device), _NEVER)
        for part in constraints
    ]
    tags, _ = _best_paths(logits, lengths, *scores, n=1)
    return tags[:, 0]


def _covers(mask: Tensor, lengths: Tensor) -> bool:
    """Tells whether every real step is in the mask; says no where asking would wait for the device."""
    return mask.device.type == "cpu" and bool((mask | ~lengths_to_mask(lengths, mask.size(1))).all())


class _LogPartition(torch.autograd.Function):
    """The log partition with its gradient by forward-backward, a third of autograd's cost and without its memory.

    Both directions run in one loop, as two batches of matrix products of exponentials: a step costs
    batch * tags^2 multiplications and batch * tags exponentials.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, start: Tensor, transitions: Tensor, end: Tensor, lengths: Tensor) -> Tensor:
        forward, backward = _messages(logits, start, transitions, end, lengths, backward=True)
        log_partition = _close(forward, end, lengths)
        ctx.save_for_backward(logits, start, transitions, end, lengths, forward, backward, log_partition)
        return log_partition.to(at_least_float32(logits).dtype)

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        logits, start, transitions, end, lengths, forward, backward, log_partition = ctx.saved_tensors
        gradient = gradient.to(forward.dtype)
        if logits.size(1) == 0:
            return (
                torch.zeros_like(logits),
                torch.zeros_like(start),
                torch.zeros_like(transitions),
                torch.zeros_like(end),
                None,
            )
        marginals = _marginals(logits, forward, backward, log_partition, lengths) * gradient[:, None, None]
        last = _at_last(marginals, lengths).masked_fill((lengths == 0).unsqueeze(1), 0)

        # pairs of neighbours (t, t + 1): exp(forward_t[i] + transitions[i, j] + backward_t+1[j] - log_partition)
        peak = backward[:, 1:].amax(2, keepdim=True)
        limit = 0.98 * math.log(torch.finfo(peak.dtype).max)  # two messages of tags that never meet may overflow
        before = (forward[:, :-1] + peak - log_partition[:, None, None]).clamp_(max=limit).exp_()
        before = before * (gradient.unsqueeze(1) * lengths_to_mask(lengths, logits.size(1))[:, 1:]).unsqueeze(2)
        after = (backward[:, 1:] - peak).exp_()
        pairs = before.flatten(0, 1).t() @ after.flatten(0, 1) * transitions.to(forward.dtype).exp()
        return (
            marginals.to(logits.dtype),
            marginals[:, 0].sum(0).to(start.dtype),
            pairs.to(transitions.dtype),
            last.sum(0).to(end.dtype),
            None,
        )


def _messages(
    logits: Tensor, start: Tensor, transitions: Tensor, end: Tensor, lengths: Tensor, *, backward: bool
) -> tuple[Tensor, Tensor]:
    """Computes the log messages of the forward and of the backward recursion.

    `forward_t[j] = logits_t[j] + log sum_i exp(forward_t-1[i] + transitions[i, j])`, and likewise backward from each
    row's last real step; both include their own step's logits. The sum is a matrix product of exponentials, from which
    the largest message is taken out: terms more than 700 nats below it are lost (float64).

    Returns:
        forward and backward (batch, time, tags), float64 where the device has it, finite, of any value beyond the
        lengths; backward has no steps if it is not asked for.
    """
    dtype = torch.float32 if logits.device.type == "mps" else torch.float64
    with torch.autocast(logits.device.type, enabled=False), torch.no_grad():
        emitted = zero_beyond(logits.to(dtype), lengths)
        directions = [emitted, reverse_within(emitted, lengths)] if backward else [emitted]
        first = torch.stack([start, end][: len(directions)]).to(dtype).unsqueeze(1)  # (direction, 1, tags)
        kernel = torch.stack([transitions, transitions.t()][: len(directions)]).to(dtype).exp()
        kernel = kernel.clamp(min=torch.finfo(dtype).tiny)  # (direction, tags, tags)
        messages: list[Tensor] = []
        for step in torch.stack(directions).unbind(2):  # (direction, batch, tags)
            if not messages:
                messages.append(step + first)
                continue
            peak = messages[-1].amax(2, keepdim=True)
            messages.append(torch.bmm((messages[-1] - peak).exp_(), kernel).log_().add_(peak).add_(step))
        if not messages:
            return emitted, emitted
        stacked = torch.stack(messages, 2)  # (direction, batch, time, tags)
        return stacked[0], reverse_within(stacked[1], lengths) if backward else emitted[:, :0]


def _at_last(values: Tensor, lengths: Tensor) -> Tensor:
    """Returns (batch, tags) of (batch, time, tags): each row's last real step, the first step for length zero."""
    return values[torch.arange(values.size(0), device=values.device), (lengths - 1).clamp(min=0)]


def _close(forward: Tensor, end: Tensor, lengths: Tensor) -> Tensor:
    """Returns the log partition (batch,) of forward messages (batch, time, tags)."""
    if forward.size(1) == 0:
        return forward.new_zeros(forward.size(0))
    return (_at_last(forward, lengths) + end.detach().to(forward.dtype)).logsumexp(1).masked_fill(lengths == 0, 0)


def _marginals(logits: Tensor, forward: Tensor, backward: Tensor, log_partition: Tensor, lengths: Tensor) -> Tensor:
    """Returns the marginals (batch, time, tags) of the messages of both directions, zero beyond the lengths."""
    beyond = ~lengths_to_mask(lengths, logits.size(1)).unsqueeze(2)
    log_marginals = forward + backward - logits.to(forward.dtype) - log_partition[:, None, None]
    return log_marginals.masked_fill_(beyond, float("-inf")).exp_()


@torch.no_grad()
def _best_paths(
    logits: Tensor, lengths: Tensor, start: Tensor, transitions: Tensor, end: Tensor, *, n: int
) -> tuple[Tensor, Tensor]:
    """Finds the `n` best sequences by dynamic programming over states, each a tag and a rank below `n`.

    Returns:
        tags (batch, n, time) int64, zero beyond the lengths; scores (batch, n), -inf where there is no such sequence.
    """
    batch, time, num_tags = logits.shape
    nothing = torch.full((n,), float("-inf"), device=logits.device)
    nothing[0] = 0
    if time == 0:
        return torch.zeros(batch, n, 0, dtype=torch.long, device=logits.device), nothing.expand(batch, n)
    arrivals = transitions.t().repeat_interleave(n, 1)  # (tag after, state before)
    steps = at_least_float32(logits).unbind(1)
    best = [((steps[0] + start).unsqueeze(2) + nothing).flatten(1)]  # of each step, (batch, state)
    pointers = []  # of each step but the first, (batch, state), to the state before
    for step in steps[1:]:
        candidates = best[-1].unsqueeze(1) + arrivals  # (batch, tag after, state before)
        values, sources = candidates.max(2, keepdim=True) if n == 1 else candidates.topk(n, 2)
        best.append((values + step.unsqueeze(2)).flatten(1))
        pointers.append(sources.flatten(1))
    final = _at_last(torch.stack(best, 1), lengths) + end.repeat_interleave(n)  # (batch, state)
    scores, state = final.topk(n, 1)

    mask = lengths_to_mask(lengths, time)
    path = [state]
    if pointers:
        stay = torch.arange(num_tags * n, device=logits.device)
        table = torch.where(mask.t()[1:].unsqueeze(2), torch.stack(pointers), stay)  # (time - 1, batch, state)
        for back in reversed(table.unbind(0)):
            path.append(back.gather(1, path[-1]))
    tags = torch.stack(path[::-1], 2) // n  # (batch, n, time)
    scores = torch.where((lengths == 0).unsqueeze(1), nothing.to(scores.dtype), scores)
    return tags.masked_fill(~mask.unsqueeze(1), 0), scores
