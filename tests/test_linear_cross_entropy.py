"""The chunked linear cross entropy against torch's own, on all logits at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seqmodels import linear_cross_entropy as module
from seqmodels.errors import ConfigurationError
from seqmodels.linear_cross_entropy import linear_cross_entropy, linear_nll, rows_of_chunk

ITEMS, SIZE, VOCAB_SIZE = 31, 7, 13


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes chunks of 5 rows at most, so that 31 items take several."""
    torch.manual_seed(29)
    monkeypatch.setattr(module, "_LEAST_ROWS", 5)
    monkeypatch.setattr(module, "_MOST_ROWS_ON_CPU", 5)


def make_problem(dtype: torch.dtype = torch.float64, bias: bool = True) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Returns inputs, weight, bias and targets, some of which are ignored."""
    parts = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in ((ITEMS, SIZE), (VOCAB_SIZE, SIZE))]
    targets = torch.randint(VOCAB_SIZE, (ITEMS,))
    targets[[2, 3, 30]] = -100
    return parts[0], parts[1], torch.randn(VOCAB_SIZE, dtype=dtype, requires_grad=True) if bias else None, targets


def expected_loss(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Returns torch's cross entropy of all logits."""
    return nn.functional.cross_entropy(
        nn.functional.linear(inputs, weight, bias), targets, label_smoothing=label_smoothing
    )


def gradients(loss: Tensor, *parts: Tensor | None) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, [part for part in parts if part is not None], retain_graph=True)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_equals_torch(dtype: torch.dtype, tolerance: float, label_smoothing: float, bias: bool) -> None:
    *parts, targets = make_problem(dtype, bias)
    loss = linear_cross_entropy(*parts, targets, label_smoothing=label_smoothing)
    expected = expected_loss(*parts, targets, label_smoothing)
    torch.testing.assert_close(loss, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        gradients(3 * loss, *parts), gradients(3 * expected, *parts), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("items", [1, 4, 5, 6, 10])
def test_any_number_of_items(items: int) -> None:
    inputs, weight, bias, _ = make_problem()
    targets = torch.randint(VOCAB_SIZE, (items,))
    loss, expected = linear_cross_entropy(inputs[:items], weight, bias, targets), None
    expected = expected_loss(inputs[:items], weight, bias, targets)
    torch.testing.assert_close(gradients(loss, inputs, weight, bias), gradients(expected, inputs, weight, bias))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_gradients_by_finite_differences(label_smoothing: float) -> None:
    *parts, targets = make_problem()
    assert torch.autograd.gradcheck(
        lambda *parts: linear_cross_entropy(*parts, targets, label_smoothing=label_smoothing), parts
    )


def test_another_ignored_index() -> None:
    *parts, targets = make_problem()
    renamed = targets.masked_fill(targets == -100, 11).masked_fill(targets == 11, 12)
    loss = linear_cross_entropy(*parts, renamed, ignore_index=11)
    torch.testing.assert_close(loss, expected_loss(*parts, targets.masked_fill(targets == 11, 12)))


@pytest.mark.parametrize("items", [0, ITEMS])
def test_nothing_scored_is_zero_with_zero_gradients(items: int) -> None:
    inputs, weight, bias, _ = make_problem()
    loss = linear_cross_entropy(inputs[:items], weight, bias, torch.full((items,), -100))
    assert loss.item() == 0
    assert all(not part.any() for part in gradients(loss, inputs, weight, bias))


def test_ignored_rows_may_hold_anything() -> None:
    inputs, weight, bias, targets = make_problem()
    spoilt = inputs.detach().masked_fill((targets == -100).unsqueeze(1), float("nan")).requires_grad_()
    loss = linear_cross_entropy(spoilt, weight, bias, targets)
    expected = expected_loss(inputs, weight, bias, targets)
    torch.testing.assert_close(gradients(loss, spoilt, weight), gradients(expected, inputs, weight))


def test_rows_masked_out_on_a_device_equal_rows_left_out() -> None:
    *parts, targets = make_problem()
    wanted = [True, True, True]
    masked = module._LinearCrossEntropy.apply(*parts, targets, targets != -100, 0.1, torch.float64, wanted)
    expected = expected_loss(*parts, targets, 0.1)
    torch.testing.assert_close(masked, expected)
    torch.testing.assert_close(gradients(masked, *parts), gradients(expected, *parts))


def test_gradients_accumulate_over_calls_and_over_backward_passes() -> None:
    *parts, targets = make_problem()
    first, second = linear_cross_entropy(*parts, targets), linear_cross_entropy(2 * parts[0], *parts[1:], targets)
    (first + 5 * second).backward(retain_graph=True)
    (7 * second).backward()
    expected = expected_loss(*parts, targets) + 12 * expected_loss(2 * parts[0], *parts[1:], targets)
    torch.testing.assert_close([part.grad for part in parts], list(gradients(expected, *parts)))


@pytest.mark.parametrize("only", [0, 1, 2], ids=["inputs", "weight", "bias"])
def test_only_some_parts_need_gradients(only: int) -> None:
    *parts, targets = make_problem()
    for number, part in enumerate(parts):
        part.requires_grad_(number == only)
    result = gradients(linear_cross_entropy(*parts, targets), parts[only])
    torch.testing.assert_close(result, gradients(expected_loss(*parts, targets), parts[only]))


def test_without_gradients_the_loss_is_the_same() -> None:
    *parts, targets = make_problem()
    with torch.no_grad():
        loss = linear_cross_entropy(*parts, targets, label_smoothing=0.1)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, expected_loss(*parts, targets, 0.1).detach())
    assert not linear_cross_entropy(*(part.detach() for part in parts), targets).requires_grad


def test_a_weight_shared_with_the_inputs() -> None:
    _, weight, bias, targets = make_problem()
    ids = torch.randint(VOCAB_SIZE, (ITEMS,))
    loss = linear_cross_entropy(weight[ids].tanh(), weight, bias, targets)
    torch.testing.assert_close(
        gradients(loss, weight), gradients(expected_loss(weight[ids].tanh(), weight, bias, targets), weight)
    )


@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "bf16 inputs"])
def test_bf16_is_near_float32(autocast: bool) -> None:
    inputs, weight, bias, targets = make_problem(torch.float32)
    exact = expected_loss(inputs, weight, bias, targets)
    shorter = (inputs, weight, bias) if autocast else [part.bfloat16() for part in (inputs, weight, bias)]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = linear_cross_entropy(*shorter, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0, atol=0.02)
    found, wanted = gradients(loss, inputs, weight, bias), gradients(exact, inputs, weight, bias)
    assert [part.dtype for part in found] == [torch.float32] * 3
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.01)


def test_float16_gradients_bear_the_scale_of_mixed_precision() -> None:
    inputs, weight, bias, targets = make_problem(torch.float32)
    wanted = gradients(expected_loss(inputs, weight, bias, targets), inputs, weight, bias)
    with torch.autocast("cpu", dtype=torch.float16):
        loss = linear_cross_entropy(inputs.half(), weight, bias, targets)
    found = gradients(loss * 65536, inputs, weight, bias)  # which torch's GradScaler begins with
    torch.testing.assert_close([part / 65536 for part in found], list(wanted), rtol=0.01, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.float16):
        small = linear_cross_entropy(1e-3 * inputs.half(), weight, bias, targets) * 65536
    assert (gradients(small, weight)[0] != 0).all()  # the share of a row in the mean has not underflowed


def test_far_apart_logits_neither_overflow_nor_underflow() -> None:
    inputs, weight = torch.eye(3) * 1000, torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]).requires_grad_()
    loss = linear_cross_entropy(inputs, weight, None, torch.tensor([0, 0, 2]))
    torch.testing.assert_close(loss, torch.tensor(1000 / 3))
    assert gradients(loss, weight)[0].isfinite().all()
    torch.testing.assert_close(linear_nll(inputs, weight, None, torch.tensor([0, 0, 2])), torch.tensor([0.0, 1000, 0]))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_nll_equals_torch(dtype: torch.dtype, tolerance: float) -> None:
    inputs, weight, bias, _ = make_problem(dtype)
    targets = torch.randint(VOCAB_SIZE, (ITEMS,))
    nll = linear_nll(inputs, weight, bias, targets)
    assert not nll.requires_grad
    expected = nn.functional.cross_entropy(nn.functional.linear(inputs, weight, bias), targets, reduction="none")
    torch.testing.assert_close(nll, expected.detach(), rtol=tolerance, atol=tolerance)
    assert linear_nll(inputs[:0], weight, bias, targets[:0]).shape == (0,)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        shorter = linear_nll(inputs, weight, bias, targets)
    torch.testing.assert_close(shorter, nll, rtol=0, atol=0.1)


def test_chunks_are_even_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert rows_of_chunk(700, 10_000, "cpu") == 350
    assert rows_of_chunk(700, 33_278, "cpu") == 234
    assert rows_of_chunk(700, 1_000_000, "cpu") == 117
    assert rows_of_chunk(0, 10_000, "cpu") == 1
    assert rows_of_chunk(700, 10_000, "cuda") == 700


def test_smoothing_out_of_range_is_refused() -> None:
    *parts, targets = make_problem()
    with pytest.raises(ConfigurationError, match=r"label_smoothing must be in \[0, 1\), got 1"):
        linear_cross_entropy(*parts, targets, label_smoothing=1.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_equals_torch_on_a_gpu(label_smoothing: float) -> None:
    *parts, targets = make_problem(torch.float64)
    moved = [part.detach().cuda().requires_grad_() for part in parts]
    loss = linear_cross_entropy(*moved, targets.cuda(), label_smoothing=label_smoothing)
    expected = expected_loss(*parts, targets, label_smoothing)
    torch.testing.assert_close(loss.cpu(), expected)
    torch.testing.assert_close([part.cpu() for part in gradients(loss, *moved)], list(gradients(expected, *parts)))
