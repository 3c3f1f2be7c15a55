"""The checks find what is broken, say what to mend, and find nothing where nothing is."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from unittest import SkipTest

import broken_encoders
import pytest
import torch

from seqmodels.conformance import (
    CHECKS,
    Promise,
    Result,
    check_encoder,
    check_subject,
    promises,
    report_of,
    subject_of,
    table,
)
from seqmodels.conformance.evidence import Evidence, relative_difference
from seqmodels.conformance.gradients import derive
from seqmodels.encoders import create_encoder
from seqmodels.errors import ConfigurationError

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "leaky_package"))
leaky = importlib.import_module("leaky")

# For each broken encoder: the promise that it breaks, what it is told to mend, and whether it breaks that alone.
BROKEN = {
    "LayersFirst": ("sizes", r"shape \(1, 5, 7\) for a batch of 5: make batch its first axis", False),
    "ReturnsNoState": ("sizes", r"forward returns a Tensor: return the pair \(outputs, state\)", False),
    "WritesIntoItsInputs": ("sizes", "changes its inputs in place", False),
    "ChecksNothing": (
        "wrong shapes",
        "inputs of 10 features .* taken without a word: begin forward with check_batch",
        True,
    ),
    "ForgetsToClear": ("zero outputs", "beyond a row's length differ from 0: return zero_beyond", False),
    "MasksOneTooMany": ("real steps", "the last real step of every row is zero: the mask is off by one", False),
    "FlipsPadding": ("extra padding", "outputs depend on how much padding .* reverse_within, not flip", False),
    "StateOfTheLastColumn": (
        "extra padding",
        r"the state is that of the last column.*where_rows\(mask, new, old\)",
        False,
    ),
    "MultipliesByTheMask": ("padding values", "here nan.*zero_beyond.*a product with a mask keeps NaN", True),
    "Packs": ("empty rows", r"RuntimeError: Length of all samples.*broken_encoders\.py:\d+, in forward", True),
    "KnowsItsPlace": ("row order", "the output depends on a row's place in the batch", False),
    "MixesRows": ("neighbours", r"rows beside it.*nn\.LayerNorm.*never over the batch", False),
    "Squeezes": ("batch of one", r"shape \(7,\) for inputs \(1, 1, 5\), expected \(1, 1, 7\)", False),
    "KeepsStateOnSelf": ("repeatable", "changes from call to call.*keep no state on self", False),
    "LooksAhead": ("causality", "a later step changes an earlier output", False),
    "ForgetsTheState": ("chunks", "in chunks of 1 steps differ.*must begin with the state it is given", False),
    "StepsOtherwise": ("steps", "step 1 of single steps is not that of the whole", True),
    "CarriesOnSelf": ("selected rows", "rows chosen from a state.*nothing on self", False),
    "StepsThoughItSeesTheFuture": ("refusal", "step is taken: define neither initial_state nor step", False),
    "HasAnIdleParameter": ("gradients", "no gradient reaches `idle` in evaluation", True),
    "DerivesWrongly": ("derivatives", "the gradient by the inputs is not that of the function", True),
    "StartsInFloat32": (
        "bfloat16",
        r"mat1 and mat2 must have the same dtype.*broken_encoders\.py:\d+, in advance\); make tensors by new_zeros",
        False,
    ),
    "OverflowsInFloat16": ("float16", "inputs 30 times as large.*sigmoid, softplus or logsigmoid", True),
    "RoundsToFloat32": ("float64", "float64 give outputs of torch.float32", False),
    "HidesAWeight": ("state dict", "not in the state_dict: make it an nn.Parameter", True),
    "HoldsALambda": ("deep copy", "it cannot be pickled", True),
}
QUICK = tuple(check for check in CHECKS if check.__name__ != "linear_time")


def results_of(encoder: type) -> dict[str, Result]:
    subject = subject_of(encoder, {})
    return {result.promise: result for result in (Promise(check, subject).result() for check in QUICK)}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_and_explained(name):
    promise, mend, alone = BROKEN[name]
    results = results_of(getattr(broken_encoders, name))
    broken = [result for result in results.values() if result.status == "broken"]
    assert results[promise] in broken
    assert not alone or len(broken) == 1
    result = Result(**{**vars(results[promise]), "found": " ".join(results[promise].found.split())})
    with pytest.raises(AssertionError, match=mend):
        raise AssertionError(result.found)
    first, second = results[promise].explanation.split("\n")
    assert first == f"promised: {results[promise].promised}"
    assert second.startswith("mend: ")
    if result.difference is not None:
        assert result.difference > result.bound


def test_every_promise_has_an_encoder_that_breaks_it():
    others = {"construction", "linear time"}  # tested below
    assert {promise for promise, _, _ in BROKEN.values()} | others == {
        check.__name__.replace("_", " ") for check in CHECKS
    }


@pytest.mark.parametrize("encoder", [broken_encoders.Sound, leaky.Leaky])
def test_what_keeps_all_promises(encoder):
    results = check_encoder(encoder, hidden_size=7)
    assert {result.promise: result.explanation for result in results if result.status == "broken"} == {}
    assert [result.promise for result in results if result.status == "not applicable"] == ["refusal"]
    assert all(result.difference <= result.bound for result in results if result.difference is not None)


def test_time_that_grows_with_the_square_of_the_steps():
    by_name = {check.__name__: check for check in CHECKS}
    result = Promise(by_name["linear_time"], subject_of(broken_encoders.ComparesAllPairs, {})).result()
    assert result.status == "broken"
    assert result.difference > 10
    assert "1024 steps take" in result.found


def test_one_that_cannot_be_built_is_asked_nothing_else():
    (result,) = check_encoder(broken_encoders.ForgetsOutputSize)
    assert result.status == "broken"
    assert "missing 1 required positional argument: 'output_size'" in result.found
    assert "broken_encoders.py:" in result.found
    (result,) = check_encoder(broken_encoders.Sound, hidden_size=0)
    assert "output_size must be a positive integer, got 0" in result.found


def test_an_error_of_a_cell_is_told_with_its_place_and_once():
    results = check_subject(subject_of(broken_encoders.StepsOfAnotherSize, {}))
    text = table("mine", results)
    assert text.count("expected an output of shape") == 1
    assert "StepsOfAnotherSize.step: expected an output of shape (5, 7)" in text
    assert "broken_encoders.py:" in text
    text = table("mine", check_encoder(broken_encoders.Fails))
    assert text.count("ZeroDivisionError: nothing to divide by (") == 1
    assert "in advance)" in text
    assert "Traceback" not in text
    assert "second line" not in text


def test_inputs_that_are_changed_are_told_wherever_they_are_read():
    results = results_of(broken_encoders.WritesIntoItsInputs)
    assert (
        results["row order"].found == results["sizes"].found == "forward changes its inputs in place: write to a copy"
    )


def test_a_state_that_is_changed_is_told():
    found = results_of(broken_encoders.WritesIntoItsState)["sizes"].found
    assert found.startswith("step changes the state that it is given in place: make new tensors")


def test_an_output_that_comes_a_step_late_is_told():
    results = results_of(broken_encoders.ReturnsTheOldState)
    assert "or step returns the state that it was given as its output" in results["real steps"].found
    assert results["causality"].found.startswith("the outputs from step 11 on do not change with the inputs")


def test_ordinary_results_that_are_not_finite_are_told_once():
    results = results_of(broken_encoders.StartsAnyhow)
    found = {results[name].found for name in ("real steps", "extra padding", "row order", "chunks", "repeatable")}
    assert len(found) == 1
    assert re.match(r"results of ordinary inputs are NaN or infinite: .*torch\.empty", found.pop())


def test_what_may_follow_from_another_is_not_explained():
    results = list(results_of(broken_encoders.DropsAlways).values())
    text = table("mine", results)
    assert text.count("  mend: ") == 1
    assert "repeatable\n  promised: In evaluation mode" in text
    assert "extra padding, padding values" in text
    assert "found: may follow from `repeatable`" in text


def test_the_table_is_aligned_and_coloured_for_terminals_only():
    results = [
        Result("row order", "kept", "Rows.", difference=1e-7, bound=2e-5),
        Result("steps", "broken", "Steps.", "mend it", 0.5, 2e-5),
        Result("refusal", "not applicable", "Refusal.", "it is causal"),
    ]
    plain = table("mine", results)
    assert plain.split("\n") == [
        "promise    status          difference    bound",
        "row order  kept                 1e-07    2e-05",
        "steps      broken                 0.5    2e-05",
        "refusal    not applicable",
        "",
        "steps",
        "  promised: Steps.",
        "  mend: mend it",
        "",
        "mine: 1 kept, 1 broken, 1 not applicable",
    ]
    coloured = table("mine", results, colours=True)
    assert "\033[1;31mbroken" in coloured
    assert "\033" not in plain


def test_the_report_is_json_even_of_infinities():
    results = [Result("steps", "broken", "Steps.", "mend it", float("inf"), 2e-5)]
    report = json.loads(json.dumps(report_of("mine", results), allow_nan=False))
    assert report["kept"] is False
    assert report["promises"][0]["difference"] == "inf"


@pytest.mark.parametrize("promise", promises(broken_encoders.Sound, hidden_size=3)[:-1])
def test_a_suite_of_ones_own(promise):
    promise.check()


def test_a_broken_promise_fails_a_test_with_its_explanation():
    by_name = {promise.__name__: promise for promise in promises(broken_encoders.LooksAhead)}
    with pytest.raises(AssertionError, match=r"LooksAhead: causality is broken\npromised: What .*\nmend: a later step"):
        by_name["causality"].check()
    with pytest.raises(SkipTest, match="it is causal"):
        by_name["refusal"].check()


def test_the_users_random_numbers_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    promises("lstm", hidden_size=7)[1].check()
    assert torch.equal(torch.rand(2), expected)


def test_the_seed_decides_the_weights():
    weights = [subject_of("lstm", {"hidden_size": 7}, seed=seed).build().state_dict().values() for seed in (0, 0, 1)]
    first, same, other = (next(iter(values)) for values in weights)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_difference_is_relative_and_nan_is_one():
    assert relative_difference(torch.tensor([100.0, 0.0]), torch.tensor([99.0, 0.0])) == pytest.approx(0.01)
    assert relative_difference(torch.tensor([float("nan")]), torch.tensor([float("nan")])) == float("inf")
    assert relative_difference(torch.zeros(0), torch.zeros(0)) == 0
    evidence = Evidence()
    evidence.within(0.5, "", bound=1.0)
    evidence.within(0.1, "", bound=100.0)
    assert (evidence.difference, evidence.bound) == (0.5, 1.0)  # the nearest to its bound


def test_gradients_are_those_of_torch():
    encoder = create_encoder("rnn", 5, hidden_size=7)
    inputs, lengths = torch.randn(3, 5, 5), torch.tensor([5, 2, 3])
    derived = derive(encoder, inputs, lengths)
    inputs.requires_grad_()
    outputs, state = encoder(inputs, lengths)
    value = outputs.sin().sum() + encoder.summary(outputs, lengths).cos().sum()
    value = value + sum((part + 0.3).sin().sum() for part in (state if isinstance(state, tuple) else (state,)))
    torch.testing.assert_close(derived.by_inputs, torch.autograd.grad(value, inputs)[0])


def test_what_is_no_encoder_is_refused():
    with pytest.raises(ConfigurationError, match=r"expected a subclass of Encoder or Cell .*, got Linear"):
        check_encoder(torch.nn.Linear)
    with pytest.raises(ConfigurationError, match=r"unknown encoder 'lstmm'.*did you mean 'lstm'"):
        promises("lstmm")
    with pytest.raises(ConfigurationError, match="has no argument 'hiden_size'"):
        check_encoder("lstm", hiden_size=7)
