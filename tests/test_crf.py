"""The conditional random field against brute force over all sequences, and against a plain recursion with autograd."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from seqmodels.crf import CRF, decode_constrained
from seqmodels.errors import ConfigurationError
from seqmodels.tags import Constraints, allowed_transitions, follows_scheme

BATCH, TIME, TAGS = 5, 4, 3
LENGTHS = torch.tensor([4, 1, 3, 0, 2])
NAMES = ["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "E-Y", "S-Y"]


def random_crf(num_tags: int = TAGS, constraints: Constraints | None = None, scale: float = 1.0) -> CRF:
    crf = CRF(num_tags, constraints=constraints)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return crf


def random_logits(batch: int = BATCH, time: int = TIME, tags: int = TAGS, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(batch, time, tags)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(11)


def score(crf: CRF, logits: Tensor, path: tuple[int, ...]) -> float:
    """Scores one sequence as the equation says; -inf where the constraints forbid it."""
    if not path:
        return 0.0
    allowed = crf.allowed_start[path[0]] and crf.allowed_end[path[-1]]
    total = crf.start[path[0]] + crf.end[path[-1]] + sum(logits[t, tag] for t, tag in enumerate(path))
    for before, after in itertools.pairwise(path):
        allowed = allowed and crf.allowed_transitions[before, after]
        total = total + crf.transitions[before, after]
    return total.item() if allowed else float("-inf")


def brute_force(crf: CRF, logits: Tensor, length: int) -> dict[tuple[int, ...], float]:
    return {path: score(crf, logits, path) for path in itertools.product(range(crf.num_tags), repeat=length)}


def log_sum(scores: object) -> float:
    return float(torch.tensor(list(scores), dtype=torch.float64).logsumexp(0))  # type: ignore[call-overload]


def plain_log_partition(crf: CRF, logits: Tensor, lengths: Tensor) -> Tensor:
    """The textbook recursion, row by row, differentiated by autograd."""
    totals = []
    for row, length in zip(logits, lengths.tolist(), strict=True):
        if length == 0:
            totals.append(row.sum() * 0)
            continue
        alpha = crf.start + row[0]
        for step in row[1:length]:
            alpha = (alpha[:, None] + crf.transitions).logsumexp(0) + step
        totals.append((alpha + crf.end).logsumexp(0))
    return torch.stack(totals)


def constrained_crf() -> CRF:
    return random_crf(3, allowed_transitions(["O", "B-X", "I-X"], "bio"))


@pytest.mark.parametrize("make", [random_crf, constrained_crf], ids=["free", "constrained"])
class TestAgainstBruteForce:
    def test_log_partition(self, make) -> None:
        crf, logits = make(), random_logits()
        expected = [log_sum(brute_force(crf, row, n).values()) for row, n in zip(logits, LENGTHS.tolist(), strict=True)]
        torch.testing.assert_close(crf.log_partition(logits, LENGTHS), torch.tensor(expected), rtol=1e-6, atol=1e-5)
        with torch.no_grad():
            torch.testing.assert_close(crf.log_partition(logits, LENGTHS), torch.tensor(expected), rtol=1e-6, atol=1e-5)

    def test_likelihoods_sum_to_one(self, make) -> None:
        crf, logits = make(), random_logits(1)
        paths = torch.tensor(list(itertools.product(range(TAGS), repeat=TIME)))
        lengths = torch.full((len(paths),), TIME)
        log_likelihood = crf.log_likelihood(logits.expand(len(paths), -1, -1), paths, lengths)
        assert log_likelihood.logsumexp(0).item() == pytest.approx(0, abs=1e-5)

    def test_likelihood(self, make) -> None:
        crf, logits = make(), random_logits()
        tags = torch.zeros(BATCH, TIME, dtype=torch.long)
        tags[:, -2:] = 1
        expected = []
        for row, gold, length in zip(logits, tags.tolist(), LENGTHS.tolist(), strict=True):
            scores = brute_force(crf, row, length)
            expected.append(scores[tuple(gold[:length])] - log_sum(scores.values()))
        tags[LENGTHS.unsqueeze(1) <= torch.arange(TIME)] = -100
        torch.testing.assert_close(
            crf.log_likelihood(logits, tags, LENGTHS), torch.tensor(expected), rtol=1e-5, atol=1e-5
        )

    def test_partly_scored_likelihood(self, make) -> None:
        crf, logits = make(), random_logits()
        tags = torch.tensor([[0, 1, 0, 1]] * BATCH)
        mask = torch.rand(BATCH, TIME) < 0.5
        mask[1] = True
        mask[2] = False
        expected = []
        for row, gold, which, length in zip(logits, tags, mask, LENGTHS.tolist(), strict=True):
            scores = brute_force(crf, row, length)
            consistent = [
                value for path, value in scores.items() if all(tag == gold[t] for t, tag in enumerate(path) if which[t])
            ]
            expected.append(log_sum(consistent) - log_sum(scores.values()))
        tags[~mask] = -1
        found = crf.log_likelihood(logits, tags, LENGTHS, mask)
        torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)
        assert found[2].abs().item() < 1e-6  # nothing scored

    def test_marginals(self, make) -> None:
        crf, logits = make(), random_logits()
        expected = torch.zeros(BATCH, TIME, TAGS)
        for row, (values, length) in enumerate(zip(logits, LENGTHS.tolist(), strict=True)):
            scores = brute_force(crf, values, length)
            total = log_sum(scores.values())
            for path, value in scores.items():
                for t, tag in enumerate(path):
                    expected[row, t, tag] += torch.tensor(value - total).exp()
        torch.testing.assert_close(crf.marginals(logits, LENGTHS), expected, rtol=1e-5, atol=1e-6)

    def test_decode(self, make) -> None:
        crf, logits = make(), random_logits()
        for found, row, length in zip(crf.decode(logits, LENGTHS).tolist(), logits, LENGTHS.tolist(), strict=True):
            scores = brute_force(crf, row, length)
            assert tuple(found[:length]) == max(scores, key=scores.__getitem__)
            assert not any(found[length:])

    @pytest.mark.parametrize("n", [1, 2, 5, 29])
    def test_n_best(self, make, n: int) -> None:
        crf, logits = make(), random_logits()
        tags, values = crf.decode_n_best(logits, LENGTHS, n)
        assert tags.shape == (BATCH, n, TIME)
        for row, length in enumerate(LENGTHS.tolist()):
            scores = brute_force(crf, logits[row], length)
            possible = {path: value for path, value in scores.items() if value > float("-inf")}
            best = sorted(possible, key=possible.__getitem__, reverse=True)[:n]
            found = [tuple(path[:length]) for path in tags[row].tolist()]
            assert found[: len(best)] == best
            expected = torch.tensor([possible[path] for path in best] + [float("-inf")] * (n - len(best)))
            torch.testing.assert_close(values[row], expected, rtol=1e-5, atol=1e-5)
            assert not tags[row, :, length:].any()
            assert not tags[row, len(best) :].any()


class TestGradient:
    def test_equals_autograd_through_the_plain_recursion(self) -> None:
        crf, logits, weights = random_crf(), random_logits().requires_grad_(), torch.randn(BATCH)
        inputs = [logits, *crf.parameters()]
        found = torch.autograd.grad((weights * crf.log_partition(logits, LENGTHS)).sum(), inputs)
        expected = torch.autograd.grad((weights * plain_log_partition(crf, logits, LENGTHS)).sum(), inputs)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)

    def test_numerically(self) -> None:
        crf = constrained_crf().double()
        logits = random_logits().double().requires_grad_()
        tags = torch.zeros(BATCH, TIME, dtype=torch.long)
        mask = torch.rand(BATCH, TIME) < 0.7
        assert torch.autograd.gradcheck(lambda x: crf.log_partition(x, LENGTHS), logits)
        assert torch.autograd.gradcheck(lambda x: crf.log_likelihood(x, tags, LENGTHS), logits)
        assert torch.autograd.gradcheck(lambda x: crf.log_likelihood(x, tags, LENGTHS, mask), logits)

    def test_is_the_marginal(self) -> None:
        crf, logits = constrained_crf(), random_logits().requires_grad_()
        (gradient,) = torch.autograd.grad(crf.log_partition(logits, LENGTHS).sum(), logits)
        torch.testing.assert_close(gradient, crf.marginals(logits, LENGTHS))

    def test_forbidden_transitions_get_none(self) -> None:
        crf, logits = constrained_crf(), random_logits()
        crf.log_partition(logits, LENGTHS).sum().backward()
        assert not crf.transitions.grad[~crf.allowed_transitions].any()
        assert crf.transitions.grad[crf.allowed_transitions].all()
        assert not crf.start.grad[~crf.allowed_start].any()

    @pytest.mark.parametrize("scale", [1e-3, 30.0, 1000.0])
    def test_stays_finite(self, scale: float) -> None:
        crf = random_crf(9, allowed_transitions(NAMES, "iobes"))
        logits = random_logits(7, 13, 9, scale).requires_grad_()
        lengths = torch.tensor([13, 1, 0, 7, 2, 12, 13])
        tags = torch.randint(9, (7, 13))  # most of them forbidden
        for mask in (None, torch.rand(7, 13) < 0.5):
            crf.zero_grad()
            log_likelihood = crf.log_likelihood(logits, tags, lengths, mask)
            assert log_likelihood.isfinite().all()
            assert (log_likelihood < 1e-4).all()
            (gradient,) = torch.autograd.grad(log_likelihood.sum(), logits)
            assert gradient.isfinite().all()

    @pytest.mark.parametrize("scale", [10.0, 100.0])
    def test_is_exact_for_sharp_logits(self, scale: float) -> None:
        crf, logits = random_crf(scale=10.0), random_logits(scale=scale)
        torch.testing.assert_close(
            crf.log_partition(logits, LENGTHS), plain_log_partition(crf, logits, LENGTHS), rtol=1e-6, atol=1e-5
        )


class TestInvariance:
    def test_padding(self) -> None:
        crf, logits = random_crf(), random_logits().requires_grad_()
        padded = torch.cat([logits, torch.full((BATCH, 3, TAGS), float("nan"))], 1)
        tags = torch.randint(TAGS, (BATCH, TIME))
        more_tags = torch.cat([tags, torch.full((BATCH, 3), -100)], 1)
        one, other = crf.log_likelihood(logits, tags, LENGTHS), crf.log_likelihood(padded, more_tags, LENGTHS)
        torch.testing.assert_close(one, other)
        (one_gradient,) = torch.autograd.grad(one.sum(), logits)
        (other_gradient,) = torch.autograd.grad(other.sum(), logits)
        torch.testing.assert_close(one_gradient, other_gradient)
        assert torch.equal(crf.decode(logits, LENGTHS), crf.decode(padded, LENGTHS)[:, :TIME])
        assert torch.equal(
            crf.decode_n_best(logits, LENGTHS, 2)[0], crf.decode_n_best(padded, LENGTHS, 2)[0][..., :TIME]
        )
        torch.testing.assert_close(crf.marginals(logits, LENGTHS), crf.marginals(padded, LENGTHS)[:, :TIME])

    def test_order_of_rows(self) -> None:
        crf, logits, order = random_crf(), random_logits(), torch.tensor([3, 0, 4, 1, 2])
        tags = torch.randint(TAGS, (BATCH, TIME))
        torch.testing.assert_close(
            crf.log_likelihood(logits[order], tags[order], LENGTHS[order]),
            crf.log_likelihood(logits, tags, LENGTHS)[order],
        )
        assert torch.equal(crf.decode(logits[order], LENGTHS[order]), crf.decode(logits, LENGTHS)[order])

    def test_a_mask_of_everything_is_no_mask(self, monkeypatch: pytest.MonkeyPatch) -> None:
        crf, logits, tags = random_crf(), random_logits(), torch.randint(TAGS, (BATCH, TIME))
        everything = LENGTHS.unsqueeze(1) > torch.arange(TIME)
        expected = crf.log_likelihood(logits, tags, LENGTHS)
        assert torch.equal(crf.log_likelihood(logits, tags, LENGTHS, everything), expected)
        monkeypatch.setattr("seqmodels.crf._covers", lambda *_: False)  # as on a device that must not be waited for
        torch.testing.assert_close(crf.log_likelihood(logits, tags, LENGTHS, everything), expected)

    def test_no_steps_at_all(self) -> None:
        crf, lengths = random_crf(), torch.zeros(2, dtype=torch.long)
        logits, tags = torch.zeros(2, 0, TAGS, requires_grad=True), torch.zeros(2, 0, dtype=torch.long)
        log_likelihood = crf.log_likelihood(logits, tags, lengths)
        assert log_likelihood.tolist() == [0, 0]
        log_likelihood.sum().backward()
        assert crf.log_likelihood(logits, tags, lengths, tags.bool()).tolist() == [0, 0]
        assert crf.decode(logits, lengths).shape == (2, 0)
        assert crf.decode_n_best(logits, lengths, 3)[0].shape == (2, 3, 0)
        assert crf.marginals(logits, lengths).shape == (2, 0, TAGS)

    def test_autocast_computes_in_float32(self) -> None:
        crf, logits, tags = (
            random_crf(),
            random_logits().bfloat16().requires_grad_(),
            torch.randint(TAGS, (BATCH, TIME)),
        )
        expected = crf.log_likelihood(logits.float(), tags, LENGTHS)
        with torch.autocast("cpu", torch.bfloat16):
            found = crf.log_likelihood(logits, tags, LENGTHS)
            paths = crf.decode(logits, LENGTHS)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        found.sum().backward()
        assert logits.grad.dtype == torch.bfloat16
        assert torch.equal(paths, crf.decode(logits.float(), LENGTHS))

    def test_state_dict_holds_the_scores_alone(self) -> None:
        assert set(constrained_crf().state_dict()) == {"start", "transitions", "end"}


class TestConstraints:
    @pytest.mark.parametrize("scheme", ["bio", "iobes"])
    @pytest.mark.parametrize("scale", [1.0, 1000.0])
    def test_are_never_violated(self, scheme, scale: float) -> None:
        names = NAMES if scheme == "iobes" else ["O", "B-X", "I-X", "B-Y", "I-Y"]
        constraints = allowed_transitions(names, scheme)
        crf = random_crf(len(names), constraints)
        logits = random_logits(31, 11, len(names), scale)
        lengths = torch.randint(12, (31,))
        best, values = crf.decode_n_best(logits, lengths, 3)
        paths = [best[:, rank] for rank in range(3)] + [crf.decode(logits, lengths)]
        paths.append(decode_constrained(logits, lengths, constraints))
        for tags in paths:
            for row, length in zip(tags.tolist(), lengths.tolist(), strict=True):
                assert follows_scheme([names[tag] for tag in row[:length]], scheme)
        assert (values[:, :-1] >= values[:, 1:]).all()

    def test_constrained_decoding_without_transition_scores(self) -> None:
        constraints = allowed_transitions(["O", "B-X", "I-X"], "bio")
        crf, logits = CRF(3, constraints=constraints), random_logits()
        assert torch.equal(decode_constrained(logits, LENGTHS, constraints), crf.decode(logits, LENGTHS))
        free = Constraints(*map(torch.ones_like, constraints))
        steps = logits.argmax(2).masked_fill(LENGTHS.unsqueeze(1) <= torch.arange(TIME), 0)
        assert torch.equal(decode_constrained(logits, LENGTHS, free), steps)

    def test_that_cannot_be_met_are_broken_as_rarely_as_possible(self) -> None:
        never = Constraints(
            torch.tensor([False, True]), torch.tensor([[True, True], [False, False]]), torch.tensor([True, True])
        )
        logits = torch.tensor([[[9.0, 0.0], [9.0, 0.0], [9.0, 0.0]]])
        # every path has an offence: beginning with tag 0 is one, and leaving tag 1 is one
        found = decode_constrained(logits, torch.tensor([3]), never)[0].tolist()
        assert found == [0, 0, 0]


def test_learns_transitions_that_the_logits_do_not_show() -> None:
    crf = CRF(TAGS)
    tags = torch.arange(7).remainder(TAGS).expand(4, 7)  # 0 1 2 0 1 2 0
    logits, lengths = torch.zeros(4, 7, TAGS), torch.full((4,), 7)
    optimizer = torch.optim.Adam(crf.parameters(), lr=0.3)
    for _ in range(60):
        loss = -crf.log_likelihood(logits, tags, lengths).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert torch.equal(crf.decode(logits, lengths), tags)


def test_errors() -> None:
    with pytest.raises(ConfigurationError, match="num_tags must be a positive integer, got 0"):
        CRF(0)
    with pytest.raises(ConfigurationError, match=r"constraints for 5 tags must have the shapes \(5,\).*got \(3,\)"):
        CRF(5, constraints=allowed_transitions(["O", "B-X", "I-X"], "bio"))
    with pytest.raises(ConfigurationError, match="n-best sequences must be a positive integer, got 0"):
        random_crf().decode_n_best(random_logits(), LENGTHS, 0)
