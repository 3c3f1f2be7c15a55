"""The choice of one id for each row: the best, or a random one of those that are likely enough.

Random numbers are a function of (seed, row number, step), so what a row draws depends on neither its neighbours nor
the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seqmodels.generation.ranking import top

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 128

RANDOMS = 5
"""Random numbers of a row and a step: as many draws before top-p sorts the vocabulary of the row, less one."""


def uniforms(seed: int, row_numbers: Sequence[int], step: int, device: torch.device | str = "cpu") -> Tensor:
    """Returns `RANDOMS` random numbers in [0, 1) for each row, (rows, RANDOMS) float64.

    On a device that has no float64 they are float32, which may round one up to 1.

    They are outputs of the generator SplitMix64, whose seed is made of `seed` and the row's number.

    Reference:
        Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, figure 17 (with variant 13 of
        its finalizer, as in java.util.SplittableRandom).
    """
    with np.errstate(over="ignore"):
        rows = np.array([[number % 2**64] for number in row_numbers], dtype=np.uint64).reshape(-1, 1)
        places = np.arange(step * RANDOMS + 1, (step + 1) * RANDOMS + 1, dtype=np.uint64)
        key = _mix(_mix(np.array([seed % 2**64], dtype=np.uint64) + _GOLDEN) + _GOLDEN * rows)
        bits = _mix(key + _GOLDEN * places)
    numbers = torch.from_numpy((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)
    return numbers.to(device, torch.float32 if torch.device(device).type == "mps" else torch.float64)


def _mix(bits: np.ndarray) -> np.ndarray:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = bits ^ (bits >> np.uint64(31))
    return mixed


def best_ids(logits: Tensor) -> Tensor:
    """Returns the id of each row's largest logit (rows,) int64; the lowest of equal ones."""
    return logits.argmax(1)


def sample_ids(
    logits: Tensor, randoms: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> Tensor:
    """Draws an id for each row from `softmax(logits / temperature)`, cut to the likely ids.

    Args:
        logits: (rows, vocab_size), float32 or float64; -inf is never drawn unless the whole row is.
        randoms: (rows, numbers) in [0, 1); one is enough, with `RANDOMS` of them top-p rarely has to sort.
        temperature: above 0; below 1 sharpens the distribution.
        top_k: draws from the `top_k` most probable ids; None from all.
        top_p: in (0, 1]: draws from the smallest set of most probable ids (of those that `top_k` left) whose
            probabilities sum to at least this.

    Returns:
        (rows,) int64.

    Reference:
        Fan, Lewis and Dauphin (2018), Hierarchical neural story generation, section 5.1 (top-k); Holtzman et al.
        (2020), The curious case of neural text degeneration, section 3.1 (nucleus).
    """
    if temperature < 0.01:  # which would make infinities of the logits
        logits = logits - logits.amax(1, keepdim=True)
    if temperature != 1:
        logits = logits / temperature
    if top_k is not None:
        values, ids = top(logits, top_k)
        return ids.gather(1, _draw_sorted(values.softmax(1), randoms[:, 0], top_p).unsqueeze(1)).squeeze(1)
    if top_p < 1:
        return _draw_nucleus(logits.softmax(1), randoms, top_p)
    return _draw(logits.softmax(1), randoms[:, 0])


def sample_by_weight(weights: Tensor, randoms: Tensor, *, top_p: float = 1.0) -> Tensor:
    """Draws an id for each row with probability in proportion to its weight, as `sample_ids` does of logits.

    Args:
        weights: (rows, vocab_size), not negative; what is zero is never drawn unless the whole row is.
        randoms: as in `sample_ids`.
        top_p: as in `sample_ids`.

    Returns:
        (rows,) int64.
    """
    if top_p < 1:
        return _draw_nucleus(weights / weights.sum(1, keepdim=True), randoms, top_p)
    return _draw(weights, randoms[:, 0])


def _draw_nucleus(probabilities: Tensor, randoms: Tensor, mass: float) -> Tensor:
    """Draws until the id is in the nucleus, which has the same distribution; after some attempts, sorts.

    Sorting a vocabulary costs several recurrent steps; an attempt costs one pass and succeeds with probability `mass`.
    """
    if randoms.size(1) == 1:
        sorted_probabilities, ids = probabilities.sort(dim=1, descending=True, stable=True)
        return ids.gather(1, _draw_sorted(sorted_probabilities, randoms[:, 0], mass).unsqueeze(1)).squeeze(1)
    drawn = _draw(probabilities, randoms[:, 0])
    chosen = probabilities.gather(1, drawn.unsqueeze(1))
    as_probable = probabilities.masked_fill(probabilities < chosen, 0).sum(1)
    doubtful = (as_probable - chosen.squeeze(1) >= mass).nonzero().squeeze(1)
    if len(doubtful):
        before = _mass_before(probabilities[doubtful], drawn[doubtful])
        outside = doubtful[before >= mass]
        drawn[outside] = _draw_nucleus(probabilities[outside], randoms[outside, 1:], mass)
    return drawn


def _mass_before(probabilities: Tensor, ids: Tensor) -> Tensor:
    """Returns the probability (rows,) of all that come before `ids` (rows,) if sorted, of equal ones the lower."""
    chosen = probabilities.gather(1, ids.unsqueeze(1))
    lower = torch.arange(probabilities.size(1), device=ids.device) < ids.unsqueeze(1)
    before = (probabilities > chosen) | ((probabilities == chosen) & lower)
    return probabilities.masked_fill(~before, 0).sum(1)


def _draw_sorted(probabilities: Tensor, randoms: Tensor, mass: float) -> Tensor:
    """Draws an index (rows,) from the first ones that hold the mass, of probabilities (rows, size), largest first."""
    before = torch.nn.functional.pad(probabilities.cumsum(1)[:, :-1], (1, 0))
    return _draw(probabilities if mass == 1 else probabilities.masked_fill(before >= mass, 0), randoms)


def _draw(probabilities: Tensor, randoms: Tensor) -> Tensor:
    """Draws an index (rows,) from probabilities (rows, size), which need not sum to 1.

    First a block is drawn and then a place in it: running sums over a whole vocabulary cannot be vectorised.
    """
    rows, size = probabilities.shape
    precise = torch.float32 if probabilities.device.type == "mps" else torch.float64
    whole = size - size % _BLOCK
    blocks = probabilities[:, :whole].reshape(rows, whole // _BLOCK, _BLOCK).sum(2)
    blocks = torch.cat([blocks, probabilities[:, whole:].sum(1, keepdim=True)], 1)
    sums = blocks.cumsum(1, dtype=precise)  # (rows, blocks)
    target = _below(randoms.to(sums) * sums[:, -1], sums[:, -1])
    block = _first_above(sums, target).unsqueeze(1)
    places = block * _BLOCK + torch.arange(_BLOCK, device=block.device)  # (rows, block)
    inside = probabilities.gather(1, places.clamp(max=size - 1)).masked_fill(places >= size, 0)
    inside = inside.cumsum(1, dtype=precise)
    before = torch.nn.functional.pad(sums, (1, 0)).gather(1, block).squeeze(1)
    place = _first_above(inside, _below(target - before, inside[:, -1]))
    return places.gather(1, place.unsqueeze(1)).squeeze(1).clamp(max=size - 1)


def _below(values: Tensor, limit: Tensor) -> Tensor:
    return torch.minimum(values, torch.nextafter(limit, torch.zeros_like(limit)))


def _first_above(sums: Tensor, target: Tensor) -> Tensor:
    """Returns the first index at which the running sums (rows, size) exceed the target (rows,): its addend is not 0."""
    return torch.searchsorted(sums, target.unsqueeze(1), right=True).squeeze(1).clamp(max=sums.size(1) - 1)
