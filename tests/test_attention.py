"""What every attention promises, and what each computes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seqmodels.attention import (
    Additive,
    General,
    MultiHead,
    ScaledDot,
    attention_registry,
    coverage_loss,
    create_attention,
    list_attentions,
)
from seqmodels.encoders import select_rows
from seqmodels.errors import ConfigurationError

BATCH, TIME, SOURCE_TIME, SIZE = 3, 2, 5, 6
LENGTHS = torch.tensor([5, 0, 2])
EXAMPLES = {
    "multi_head": {"num_heads": 3},
    "additive with coverage": {"name": "additive", "coverage": True},
    "additive of another size": {"name": "additive", "hidden_size": 11},
}
VARIANTS = {name: {"name": name, **EXAMPLES.get(name, {})} for name in (*list_attentions(), *EXAMPLES)}
ATTENDING = sorted(set(VARIANTS) - {"none"})
ANY_SIZES = sorted(set(ATTENDING) - {"dot", "scaled_dot"})


def build(variant: str, memory_size: int = SIZE):
    torch.manual_seed(0)
    return create_attention(VARIANTS[variant], SIZE, memory_size)


def draw(memory_size: int = SIZE) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, memory, summary, coverage."""
    generator = torch.Generator().manual_seed(1)
    shapes = (BATCH, TIME, SIZE), (BATCH, SOURCE_TIME, memory_size), (BATCH, memory_size), (BATCH, TIME, SOURCE_TIME)
    queries, memory, summary, coverage = (torch.randn(shape, generator=generator) for shape in shapes)
    return queries, memory, summary, coverage.abs()


def attend(attention, queries, memory, lengths, summary, coverage):
    keys = attention.keys(memory, lengths, summary)
    return attention(queries, keys, coverage if attention.coverage else None)


@pytest.mark.parametrize("variant", ATTENDING)
def test_weights_sum_to_one_on_real_places_and_are_zero_on_padding(variant):
    queries, memory, summary, coverage = draw()
    context, weights = attend(build(variant), queries, memory, LENGTHS, summary, coverage)
    assert context.shape[:2] == (BATCH, TIME)
    assert weights.shape == (BATCH, TIME, SOURCE_TIME)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(2), (LENGTHS > 0).float().unsqueeze(1).expand(-1, TIME))
    assert (weights >= 0).all()
    assert not weights[2, :, 2:].any()
    assert not weights[1].any()
    assert not context[1].any()


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_padding_and_neighbours_change_nothing(variant):
    attention = build(variant)
    queries, memory, summary, coverage = draw()
    expected, _ = attend(attention, queries, memory, LENGTHS, summary, coverage)
    padded = nn.functional.pad(memory, (0, 0, 0, 2))
    padded[0, 5:], padded[1], padded[2, 2:] = torch.nan, torch.nan, torch.inf
    context, _ = attend(attention, queries, padded, LENGTHS, summary, nn.functional.pad(coverage, (0, 2), value=9.0))
    torch.testing.assert_close(context, expected)
    for row in range(BATCH):
        rows = slice(row, row + 1)
        parts = (part[rows] for part in (queries, memory, LENGTHS, summary, coverage))
        torch.testing.assert_close(attend(attention, *parts)[0], expected[rows])


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_all_queries_at_once_are_each_alone(variant):
    attention = build(variant)
    queries, memory, summary, coverage = draw()
    keys = attention.keys(memory, LENGTHS, summary)
    context, weights = attention(queries, keys, coverage if attention.coverage else None)
    for time in range(TIME):
        one, its_weights = attention(queries[:, time], keys, coverage[:, time] if attention.coverage else None)
        torch.testing.assert_close(one, context[:, time])
        if attention.attends:
            torch.testing.assert_close(its_weights, weights[:, time])


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_keys_are_reordered_as_a_state(variant):
    attention = build(variant)
    queries, memory, summary, coverage = draw()
    keys = attention.keys(memory, LENGTHS, summary)
    order = torch.tensor([2, 0, 0, 1])
    context, _ = attention(queries, keys, coverage if attention.coverage else None)
    coverage = coverage[order] if attention.coverage else None
    reordered, _ = attention(queries[order], select_rows(keys, order), coverage)
    torch.testing.assert_close(reordered, context[order])


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_gradients(variant):
    attention = build(variant).double()
    queries, memory, summary, coverage = (part.double().requires_grad_() for part in draw())

    def run(queries, memory, summary, coverage):
        context, weights = attend(attention, queries, memory, LENGTHS, summary, coverage)
        return (context,) if weights is None else (context, weights)

    assert torch.autograd.gradcheck(run, (queries, memory, summary, coverage))
    run(queries, memory, summary, coverage)[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in attention.parameters())


@pytest.mark.parametrize("variant", ATTENDING)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite_and_near(variant, dtype):
    attention = build(variant)
    queries, memory, summary, coverage = draw()
    expected, _ = attend(attention, queries, memory, LENGTHS, summary, coverage)
    halves = (part.to(dtype) for part in (queries, memory))
    context, weights = attend(attention.to(dtype), *halves, LENGTHS, summary, coverage)
    assert context.dtype == dtype
    assert weights.dtype == torch.float32
    torch.testing.assert_close(context.float(), expected, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("variant", ["dot", "scaled_dot", "general"])
def test_large_numbers_of_float16_are_finite(variant):
    queries, memory, summary, coverage = draw()
    huge = (300 * part.half() for part in (queries, memory))
    context, weights = attend(build(variant).half(), *huge, LENGTHS, summary, coverage)
    assert context.isfinite().all()
    torch.testing.assert_close(weights.sum(2)[0], torch.ones(TIME))


def mean_by_scores(score, memory: Tensor) -> Tensor:
    """The definition, place by place, for row 0, which has no padding."""
    weights = torch.stack([score(place) for place in memory[0]]).softmax(0)
    return (weights.unsqueeze(1) * memory[0]).sum(0)


@pytest.mark.parametrize("coverage_in_use", [False, True])
def test_additive_is_its_equation(coverage_in_use):
    attention = Additive(SIZE, 7, hidden_size=11, coverage=coverage_in_use)
    queries, memory, summary, coverage = draw(7)
    context, _ = attend(attention, queries, memory, LENGTHS, summary, coverage)
    sums = attention.from_query(queries[0, 1]) + attention.from_memory(memory[0])
    if coverage_in_use:
        sums = sums + coverage[0, 1].unsqueeze(1) * attention.from_coverage
    weights = (torch.tanh(sums) @ attention.vector).softmax(0)
    torch.testing.assert_close(context[0, 1], weights @ memory[0])


def test_products_are_their_equations():
    queries, memory, summary, coverage = draw()
    query = queries[0, 1]
    general = General(SIZE, SIZE)
    for attention, score in (
        (create_attention("dot", SIZE, SIZE), lambda place: query @ place),
        (ScaledDot(SIZE, SIZE), lambda place: query @ place / SIZE**0.5),
        (general, lambda place: query @ general.from_memory.weight @ place),
    ):
        context, _ = attend(attention, queries, memory, LENGTHS, summary, coverage)
        torch.testing.assert_close(context[0, 1], mean_by_scores(score, memory))


def test_multi_head_is_that_of_torch():
    ours = MultiHead(SIZE, 7, num_heads=3)
    theirs = nn.MultiheadAttention(SIZE, 3, kdim=7, vdim=7, batch_first=True)
    with torch.no_grad():
        theirs.q_proj_weight.copy_(ours.from_query.weight)
        theirs.k_proj_weight.copy_(ours.from_memory.weight[:SIZE])
        theirs.v_proj_weight.copy_(ours.from_memory.weight[SIZE:])
        theirs.in_proj_bias.copy_(torch.cat([ours.from_query.bias, ours.from_memory.bias]))
        theirs.out_proj.weight.copy_(ours.from_heads.weight)
        theirs.out_proj.bias.copy_(ours.from_heads.bias)
    queries, memory, summary, coverage = draw(7)
    lengths = torch.tensor([5, 1, 2])
    context, weights = attend(ours, queries, memory, lengths, summary, coverage)
    padding = torch.arange(SOURCE_TIME) >= lengths.unsqueeze(1)
    expected, expected_weights = theirs(queries, memory, memory, key_padding_mask=padding)
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights, expected_weights)


def test_none_gives_the_summary():
    queries, memory, summary, _ = draw(7)
    attention = create_attention("none", SIZE, 7)
    context, weights = attention(queries, attention.keys(memory, LENGTHS, summary))
    assert weights is None
    torch.testing.assert_close(context, summary.unsqueeze(1).expand(-1, TIME, -1))


def test_coverage_turns_the_attention_away():
    attention = Additive(SIZE, SIZE, coverage=True)
    with torch.no_grad():
        attention.from_coverage.copy_(-9 * attention.vector.sign())
    queries, memory, summary, _ = draw()
    coverage = torch.zeros(BATCH, TIME, SOURCE_TIME)
    coverage[:, :, 0] = 1
    _, weights = attend(attention, queries, memory, LENGTHS, summary, coverage)
    _, before = attend(attention, queries, memory, LENGTHS, summary, torch.zeros_like(coverage))
    assert (weights[0, :, 0] < before[0, :, 0]).all()


def test_coverage_loss_is_its_equation():
    weights = torch.rand(2, 3, 5).softmax(2)
    first, second, third = weights[0]
    expected = torch.minimum(second, first).sum() + torch.minimum(third, first + second).sum()
    expected = (expected + 0) / 4  # the other row has one step, and nothing before it
    torch.testing.assert_close(coverage_loss(weights, torch.tensor([3, 1])), expected)
    assert coverage_loss(weights, torch.tensor([0, 0])) == 0


@pytest.mark.parametrize("variant", ANY_SIZES)
def test_any_sizes_fit(variant):
    queries, memory, summary, coverage = draw(7)
    attention = build(variant, 7)
    context, _ = attend(attention, queries, memory, LENGTHS, summary, coverage)
    assert context.shape == (BATCH, TIME, attention.output_size)


def test_errors():
    with pytest.raises(ConfigurationError, match=r"sizes must be equal; got query_size 6 and memory_size 7; choose"):
        create_attention("dot", 6, 7)
    with pytest.raises(ConfigurationError, match=r"num_heads must divide query_size 6.*got 4"):
        create_attention("multi_head", 6, 7)
    with pytest.raises(ConfigurationError, match=r"unknown attention 'aditive'.*did you mean 'additive'"):
        create_attention("aditive", 6, 7)
    with pytest.raises(ConfigurationError, match="'dot' has no argument 'coverage'"):
        create_attention({"name": "dot", "coverage": True}, 6, 6)
    with pytest.raises(ConfigurationError, match="hidden_size must be a positive integer, got 0"):
        create_attention({"name": "additive", "hidden_size": 0}, 6, 6)
    attention = create_attention({"name": "additive", "coverage": True}, SIZE, SIZE)
    queries, memory, summary, _ = draw()
    with pytest.raises(ConfigurationError, match="needs the coverage before each query"):
        attention(queries, attention.keys(memory, LENGTHS, summary))


def test_every_attention_is_tried():
    for name in list_attentions():
        attention_registry.check(VARIANTS[name])
