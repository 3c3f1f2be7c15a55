"""What every head promises, and each one's own numbers against a plain computation."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from seqmodels.data.encoded import IGNORED
from seqmodels.errors import ConfigurationError
from seqmodels.heads import AdaptiveSoftmaxHead, BernoulliHead, Head, SoftmaxHead

ITEMS, INPUT_SIZE, VOCAB_SIZE, EMBEDDING_DIM = 11, 19, 43, 7


def tied_head() -> SoftmaxHead:
    """Returns a head on a table of vectors smaller than its inputs."""
    return SoftmaxHead(INPUT_SIZE, VOCAB_SIZE, tied=nn.Parameter(torch.randn(VOCAB_SIZE, EMBEDDING_DIM)))


HEADS: dict[str, Callable[[], Head]] = {
    "softmax": lambda: SoftmaxHead(INPUT_SIZE, VOCAB_SIZE),
    "tied": tied_head,
    "adaptive": lambda: AdaptiveSoftmaxHead(INPUT_SIZE, VOCAB_SIZE, cutoffs=[5, 17]),
    "bernoulli": lambda: BernoulliHead(INPUT_SIZE, VOCAB_SIZE),
}
SOFTMAXES = [name for name in HEADS if name != "bernoulli"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(31)


def make_items(name: str, items: int = ITEMS) -> tuple[Tensor, Tensor]:
    """Returns outputs (items, input_size) with their targets."""
    targets = torch.randint(2, (items, VOCAB_SIZE)).float() if name == "bernoulli" else None
    return torch.randn(items, INPUT_SIZE), torch.randint(VOCAB_SIZE, (items,)) if targets is None else targets


@pytest.mark.parametrize("name", HEADS)
def test_loss_is_the_mean_of_nll(name: str) -> None:
    head, (outputs, targets) = HEADS[name](), make_items(name)
    nll = head.nll(outputs, targets)
    assert nll.shape == (ITEMS,)
    assert not nll.requires_grad
    torch.testing.assert_close(head.loss(outputs, targets).detach(), nll.mean())


@pytest.mark.parametrize("name", SOFTMAXES)
def test_nll_is_that_of_the_probabilities_and_they_sum_to_one(name: str) -> None:
    head, (outputs, targets) = HEADS[name](), make_items(name)
    log_probs = head.log_probs(outputs)
    assert log_probs.shape == (ITEMS, head.output_size)
    torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(ITEMS))
    torch.testing.assert_close(head.nll(outputs, targets), -log_probs.gather(1, targets.unsqueeze(1)).squeeze(1))
    torch.testing.assert_close(head.logits(outputs).log_softmax(1), log_probs)


@pytest.mark.parametrize("name", HEADS)
def test_gradients_reach_every_parameter(name: str) -> None:
    head, (outputs, targets) = HEADS[name](), make_items(name)
    head.loss(outputs.requires_grad_(), targets).backward()
    assert outputs.grad.all()
    assert all(parameter.grad is not None for parameter in head.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_a_state_dict_round_trips(name: str) -> None:
    head, other, (outputs, targets) = HEADS[name](), HEADS[name](), make_items(name)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.nll(outputs, targets), head.nll(outputs, targets))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("items", [0, 1])
def test_few_items(name: str, items: int) -> None:
    head, (outputs, targets) = HEADS[name](), make_items(name, items)
    assert head.nll(outputs, targets).shape == (items,)
    loss = head.loss(outputs, targets)
    loss.backward()
    assert (loss.item() == 0) == (items == 0)


@pytest.mark.parametrize("name", SOFTMAXES)
def test_ignored_items_are_not_scored(name: str) -> None:
    head, (outputs, targets) = HEADS[name](), make_items(name)
    expected = head.loss(outputs[3:], targets[3:])
    targets[:3] = IGNORED
    torch.testing.assert_close(head.loss(outputs, targets), expected)
    nothing = head.loss(outputs, torch.full_like(targets, IGNORED))
    nothing.backward()
    assert nothing.item() == 0
    assert all(not parameter.grad.any() for parameter in head.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_autocast_stays_near_float32(name: str) -> None:
    head, (outputs, targets) = HEADS[name](), make_items(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = head.nll(outputs.bfloat16(), targets), head.log_probs(outputs.bfloat16()), head.loss(outputs, targets)
    results[2].backward()
    assert [result.dtype for result in results] == [torch.float32] * 3
    torch.testing.assert_close(results[0], head.nll(outputs, targets), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", HEADS)
def test_it_learns(name: str) -> None:
    head, (outputs, targets) = HEADS[name](), make_items(name)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    before = head.nll(outputs, targets).mean()
    for _ in range(50):
        optimizer.zero_grad()
        head.loss(outputs, targets).backward()
        optimizer.step()
    assert head.nll(outputs, targets).mean() < 0.2 * before


def test_softmax_equals_a_linear_layer_with_cross_entropy() -> None:
    head, (outputs, targets) = SoftmaxHead(INPUT_SIZE, VOCAB_SIZE, label_smoothing=0.1), make_items("softmax")
    logits = outputs @ head.weight.t() + head.bias
    torch.testing.assert_close(head.logits(outputs), logits)
    expected = nn.functional.cross_entropy(logits, targets, label_smoothing=0.1)
    torch.testing.assert_close(head.loss(outputs, targets), expected)
    torch.testing.assert_close(head.nll(outputs, targets).mean(), nn.functional.cross_entropy(logits, targets).detach())


def test_an_own_table_starts_small() -> None:
    head = SoftmaxHead(INPUT_SIZE, VOCAB_SIZE)
    assert 0.09 < head.weight.abs().max() <= 0.1
    assert not head.bias.any()


@pytest.mark.parametrize("input_size", [EMBEDDING_DIM, INPUT_SIZE], ids=["same size", "projected"])
def test_a_tied_table_is_one_parameter(input_size: int) -> None:
    embedding = nn.Embedding(VOCAB_SIZE, EMBEDDING_DIM)
    network = nn.ModuleDict({"embedder": embedding, "head": SoftmaxHead(input_size, VOCAB_SIZE, tied=embedding.weight)})
    projected = 0 if input_size == EMBEDDING_DIM else input_size * EMBEDDING_DIM
    assert sum(part.numel() for part in network.parameters()) == VOCAB_SIZE * EMBEDDING_DIM + VOCAB_SIZE + projected

    other = copy.deepcopy(network)
    nn.init.zeros_(other["embedder"].weight)
    other.load_state_dict(network.state_dict())
    assert other["head"].weight is other["embedder"].weight
    assert torch.equal(other["embedder"].weight, embedding.weight)


def test_adaptive_clusters_have_their_sizes() -> None:
    head = AdaptiveSoftmaxHead(INPUT_SIZE, VOCAB_SIZE, cutoffs=[5, 17], div_value=3.0)
    shapes = [tuple(layer.weight.shape) for cluster in head.softmax.tail for layer in cluster]
    assert shapes == [(6, INPUT_SIZE), (12, 6), (2, INPUT_SIZE), (26, 2)]


def test_a_cluster_without_targets_gets_zero_gradients() -> None:
    head = AdaptiveSoftmaxHead(INPUT_SIZE, VOCAB_SIZE, cutoffs=[5, 17])
    head.loss(torch.randn(ITEMS, INPUT_SIZE), torch.randint(5, (ITEMS,))).backward()
    assert all(not layer.weight.grad.any() for cluster in head.softmax.tail for layer in cluster)


def test_bernoulli_equals_the_sum_over_features() -> None:
    head, (outputs, frames) = BernoulliHead(INPUT_SIZE, VOCAB_SIZE), make_items("bernoulli")
    present = head.logits(outputs).sigmoid()
    expected = -torch.distributions.Bernoulli(probs=present).log_prob(frames).sum(1)
    torch.testing.assert_close(head.nll(outputs, frames), expected.detach())
    torch.testing.assert_close(head.log_probs(outputs), present.log())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SoftmaxHead(0, 5), "SoftmaxHead: input_size must be a positive integer, got 0"),
        (lambda: BernoulliHead(5, 2.5), "BernoulliHead: output_size must be a positive integer, got 2.5"),
        (lambda: SoftmaxHead(3, 5, label_smoothing=-0.1), r"label_smoothing must be in \[0, 1\), got -0.1"),
        (lambda: SoftmaxHead(3, 5, tied=nn.Parameter(torch.zeros(7, 3))), r"vocab_size 5, got \(7, 3\)"),
        (lambda: AdaptiveSoftmaxHead(16, 50, cutoffs=[]), "at least one id where a cluster begins, got none"),
        (lambda: AdaptiveSoftmaxHead(16, 50, cutoffs=[20, 10]), r"increasing integers .* = 49, got \[20, 10\]"),
        (lambda: AdaptiveSoftmaxHead(16, 50, cutoffs=[0, 10]), "from 1 to vocab_size - 1"),
        (lambda: AdaptiveSoftmaxHead(16, 50, cutoffs=[10, 50]), "from 1 to vocab_size - 1"),
        (lambda: AdaptiveSoftmaxHead(16, 50, cutoffs=[2.5]), "increasing integers"),
        (lambda: AdaptiveSoftmaxHead(16, 50, cutoffs=[10], div_value=0.5), "div_value must be 1 or more, got 0.5"),
        (lambda: AdaptiveSoftmaxHead(15, 50, cutoffs=[10, 20]), "leave the last cluster no features of 15"),
    ],
)
def test_bad_options_are_refused(build: Callable[[], Head], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build()
