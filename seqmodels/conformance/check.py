"""All promises, put to the test on any encoder."""

from __future__ import annotations

from typing import Any

from seqmodels.conformance.carrying import causality, chunks, refusal, selected_rows, steps
from seqmodels.conformance.copies import deep_copy, repeatable, state_dict
from seqmodels.conformance.duration import linear_time
from seqmodels.conformance.gradients import derivatives, gradients
from seqmodels.conformance.padding import empty_rows, extra_padding, padding_values, zero_outputs
from seqmodels.conformance.precision import bfloat16, float16, float64
from seqmodels.conformance.promise import Check, Promise, Result
from seqmodels.conformance.rows import batch_of_one, neighbours, row_order
from seqmodels.conformance.shapes import construction, real_steps, sizes, wrong_shapes
from seqmodels.conformance.subject import Subject, subject_of
from seqmodels.encoders import EncoderSpec

CHECKS: tuple[Check, ...] = (
    construction,
    sizes,
    wrong_shapes,
    zero_outputs,
    real_steps,
    extra_padding,
    padding_values,
    empty_rows,
    row_order,
    neighbours,
    batch_of_one,
    repeatable,
    causality,
    chunks,
    steps,
    selected_rows,
    refusal,
    gradients,
    derivatives,
    bfloat16,
    float16,
    float64,
    state_dict,
    deep_copy,
    linear_time,
)


def check_encoder(
    encoder: EncoderSpec | type,
    *,
    input_size: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    **arguments: Any,
) -> list[Result]:
    """Returns, for each promise of `seqmodels.encoders.Encoder`, whether an encoder or cell keeps it.

    Args:
        encoder: an `Encoder` or `Cell` class, registered or not; or a registered name, a dotted path, or a mapping with
            one of them under `name`.
        input_size: features of each input step; None for 5, or for what a pretrained model asks for.
        device: where to compute.
        seed: of the weights and the inputs.
        arguments: the constructor's, beside `input_size`.

    Raises:
        ConfigurationError: it is no encoder, its name is unknown, or an argument is unknown, missing or mistyped.
    """
    return check_subject(subject_of(encoder, arguments, input_size=input_size, device=device, seed=seed))


def check_subject(subject: Subject) -> list[Result]:
    """Returns the results of all checks; where it cannot be built, of that one alone."""
    results = [Promise(CHECKS[0], subject).result()]
    if results[0].status == "broken":
        return results
    return results + [Promise(check, subject).result() for check in CHECKS[1:]]


def promises(
    encoder: EncoderSpec | type,
    *,
    input_size: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    **arguments: Any,
) -> list[Promise]:
    """Returns the promises that an encoder or cell has to keep, as parameters of a test.

    Args and Raises are those of `check_encoder`.

    Example::

        @pytest.mark.parametrize("promise", promises(MyEncoder, hidden_size=7))
        def test_my_encoder_keeps(promise):
            promise.check()
    """
    subject = subject_of(encoder, arguments, input_size=input_size, device=device, seed=seed)
    return [Promise(check, subject) for check in CHECKS]
