"""The linear recurrence: every form against the definition, forward and backward, and over many steps."""

from __future__ import annotations

import pytest
import torch

from seqmodels.encoders.scans import linear_scan as module
from seqmodels.encoders.scans.linear_scan import linear_scan, scan, scan_sequentially
from seqmodels.encoders.scans.triton_scan import can_scan_on_device


def recur(decay, values, initial):
    """The recurrence as it is written, for autograd to differentiate."""
    state, states = initial, []
    for a, b in zip(decay.unbind(1), values.unbind(1), strict=True):
        state = a * state + b
        states.append(state)
    return torch.stack(states, dim=1), state


def arguments(batch, time, *sizes, dtype=torch.float64, device="cpu"):
    torch.manual_seed(0)
    decay = torch.rand(batch, time, *sizes, dtype=dtype, device=device) * 1.5 - 0.5  # 0, negative ones, above 1
    decay[:, :: max(time // 3, 1)] = 0.0
    values = torch.randn(batch, time, *sizes, dtype=dtype, device=device)
    initial = torch.randn(batch, *sizes, dtype=dtype, device=device)
    return tuple(tensor.requires_grad_() for tensor in (decay, values, initial))


def gradients_of(function, tensors):
    states, final = function(*tensors)
    return states, final, torch.autograd.grad(states.sin().sum() + (final * 3).cos().sum(), tensors)


@pytest.mark.parametrize("sizes", [(7,), (3, 5), ()])
@pytest.mark.parametrize("time", [1, 2, 15, 16, 17, 33, 131])
def test_it_is_the_recurrence_and_so_is_its_gradient(time, sizes):
    tensors = arguments(2, time, *sizes)
    for ours, theirs in zip(gradients_of(linear_scan, tensors), gradients_of(recur, tensors), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("time", [1, 16, 53, 64, 101])
def test_the_blocks_of_a_chunked_scan_join(time, backward, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 2 * 7 * 20)  # 20 steps: a chunk of 16, and a remainder
    decay, values, initial = (tensor.detach() for tensor in arguments(2, time, 7))
    expected = scan_sequentially(decay, values, initial, torch.empty_like(values), backward)
    torch.testing.assert_close(scan(decay, values, initial, backward=backward), expected, atol=1e-12, rtol=1e-12)


def test_gradcheck():
    assert torch.autograd.gradcheck(linear_scan, arguments(2, 37, 3))


def test_strided_arguments_are_read_in_place():
    decay, values, initial = (tensor.detach() for tensor in arguments(2, 37, 6))
    expected, _ = recur(decay[..., :3], values[..., 3:], initial[..., ::2])
    torch.testing.assert_close(linear_scan(decay[..., :3], values[..., 3:], initial[..., ::2])[0], expected)


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 5, 0)])
def test_nothing_gives_nothing(shape):
    tensors = arguments(*shape)
    states, final = linear_scan(*tensors)
    (states.sum() + final.sum()).backward()
    assert states.shape == shape
    assert tensors[0].grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    ones = torch.ones(1, 4096, 1, dtype=dtype)
    states, final = linear_scan(ones, ones, torch.zeros(1, 1, dtype=dtype))
    assert final.dtype == torch.float32
    assert final.item() == 4096.0  # bfloat16 would stop at 256, float16 at 2,048
    assert torch.isfinite(states).all()


def test_padding_is_the_identity():
    decay, values, initial = arguments(2, 37, 3)
    held, nothing = torch.ones(2, 20, 3), torch.zeros(2, 20, 3)
    _, final = linear_scan(torch.cat([decay, held.double()], 1), torch.cat([values, nothing.double()], 1), initial)
    torch.testing.assert_close(final, linear_scan(decay, values, initial)[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("time", "sizes"), [(1, (7,)), (53, (131,)), (1031, (257,)), (4099, (5, 3))])
def test_the_kernel_is_the_recurrence(time, sizes, backward):
    decay, values, initial = (
        tensor.detach() for tensor in arguments(3, time, *sizes, dtype=torch.float32, device="cuda")
    )
    assert can_scan_on_device(values), "triton is not installed"
    expected = scan_sequentially(decay, values, initial, torch.empty_like(values), backward)
    torch.testing.assert_close(scan(decay, values, initial, backward=backward), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gradient_on_a_gpu_is_that_on_a_cpu():
    tensors = arguments(3, 1031, 37, dtype=torch.float32, device="cuda")
    _, _, ours = gradients_of(linear_scan, tensors)
    _, _, theirs = gradients_of(recur, tuple(tensor.detach().cpu().requires_grad_() for tensor in tensors))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.cpu(), other, atol=1e-4, rtol=1e-4)
