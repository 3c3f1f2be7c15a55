"""Functions over nested states."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from seqmodels.encoders import detach_state, map_state, select_rows, where_rows


class Pair(NamedTuple):
    h: Tensor
    c: Tensor


def make_state(offset: float = 0.0) -> dict:
    rows = torch.arange(3.0) + offset
    return {"layers": [(rows, rows.view(3, 1, 1)), Pair(rows, rows.view(3, 1))], "nothing": None}


def test_structure_is_kept():
    doubled = map_state(lambda tensor: 2 * tensor, make_state())
    assert isinstance(doubled["layers"], list)
    assert isinstance(doubled["layers"][0], tuple)
    assert isinstance(doubled["layers"][1], Pair)
    assert doubled["nothing"] is None
    assert doubled["layers"][0][0].tolist() == [0, 2, 4]


def test_rows_are_selected_and_repeated():
    chosen = select_rows(make_state(), torch.tensor([2, 0, 2, 1]))
    assert chosen["layers"][0][1].flatten().tolist() == [2, 0, 2, 1]
    assert chosen["layers"][0][1].shape == (4, 1, 1)


def test_rows_are_merged():
    merged = where_rows(torch.tensor([True, False, True]), make_state(10), make_state())
    assert merged["layers"][1].c.flatten().tolist() == [10, 1, 12]


def test_detached_state_carries_no_gradient():
    state = (torch.ones(3, requires_grad=True) * 2, None)
    assert not detach_state(state)[0].requires_grad
    assert torch.equal(detach_state(state)[0], state[0])


def test_what_is_no_state_is_refused():
    with pytest.raises(TypeError, match="a state holds tensors in tuples, lists and dicts; found str"):
        map_state(torch.neg, ["x"])
    with pytest.raises(ValueError, match="expected 2 parts in each"):
        where_rows(torch.ones(3, dtype=torch.bool), (torch.ones(3),) * 2, (torch.ones(3),))
    with pytest.raises(ValueError, match=r"expected the keys .'h'. in each"):
        where_rows(torch.ones(3, dtype=torch.bool), {"h": torch.ones(3)}, {"c": torch.ones(3)})
