"""What every encoder promises, as checks of any encoder: each takes one in evaluation mode and asserts."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from seqmodels.encoders import Encoder, map_state, select_rows

LENGTHS = torch.tensor([11, 3, 0, 7, 1])  # batch 5, time 11
GARBAGE = (float("nan"), float("inf"), 1e30)
CLOSE = {"atol": 2e-5, "rtol": 2e-5}


def make_inputs(encoder: Encoder, lengths: Tensor = LENGTHS, time: int | None = None, seed: int = 0) -> Tensor:
    """Returns normal inputs (batch, time, input_size)."""
    generator = torch.Generator().manual_seed(seed)
    time = int(lengths.max()) if time is None else time
    return torch.randn(len(lengths), time, encoder.input_size, generator=generator)


def tensors_of(state: object) -> list[Tensor]:
    """Returns the tensors that lie in a state."""
    found: list[Tensor] = []
    map_state(lambda tensor: found.append(tensor) or tensor, state)
    return found


def assert_states_close(first: object, second: object, **tolerance: float) -> None:
    """Asserts that two states have the same structure and values."""
    map_state(lambda a, b: torch.testing.assert_close(a, b, **(tolerance or CLOSE)) or a, first, second)


def gradients(encoder: Encoder, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the gradients by the inputs and by each parameter of a loss of outputs, summary and state."""
    inputs = inputs.clone().requires_grad_()
    encoder.zero_grad()
    outputs, state = encoder(inputs, lengths)
    loss = outputs.sin().sum() + encoder.summary(outputs, lengths).cos().sum()
    for part in tensors_of(state):
        loss = loss + (part.float() + 0.3).sin().sum()
    loss.backward()
    assert inputs.grad is not None
    return inputs.grad, {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


def check_sizes(encoder: Encoder) -> None:
    """Outputs, summary and state have the shapes that are published; outputs beyond the length are exactly zero."""
    inputs = make_inputs(encoder)
    before = inputs.clone()
    outputs, state = encoder(inputs, LENGTHS)
    assert outputs.shape == (5, 11, encoder.output_size)
    assert encoder.summary(outputs, LENGTHS).shape == (5, encoder.output_size)
    assert all(part.size(0) == 5 for part in tensors_of(state))
    for row, length in enumerate(LENGTHS.tolist()):
        assert torch.all(outputs[row, length:] == 0)
        assert torch.all(outputs[row, :length].abs().sum(1) > 0)
    assert torch.equal(inputs, before)


def check_padding(encoder: Encoder) -> None:
    """Neither the amount nor the content of the padding changes outputs, summary, state or gradients."""
    inputs = make_inputs(encoder)
    longer = torch.cat([inputs, torch.zeros(5, 6, encoder.input_size)], dim=1)
    outputs, state = encoder(inputs, LENGTHS)
    by_inputs, by_parameters = gradients(encoder, inputs, LENGTHS)
    for garbage in GARBAGE:
        for row, length in enumerate(LENGTHS.tolist()):
            longer[row, length:] = garbage
        longer_outputs, longer_state = encoder(longer, LENGTHS)
        torch.testing.assert_close(longer_outputs[:, :11], outputs, **CLOSE)
        assert torch.all(longer_outputs[:, 11:] == 0)
        torch.testing.assert_close(encoder.summary(longer_outputs, LENGTHS), encoder.summary(outputs, LENGTHS), **CLOSE)
        assert_states_close(longer_state, state)
        longer_by_inputs, longer_by_parameters = gradients(encoder, longer, LENGTHS)
        torch.testing.assert_close(longer_by_inputs[:, :11], by_inputs, **CLOSE)
        for row, length in enumerate(LENGTHS.tolist()):
            assert torch.all(longer_by_inputs[row, length:] == 0)
        for name, gradient in by_parameters.items():
            torch.testing.assert_close(longer_by_parameters[name], gradient, atol=1e-4, rtol=1e-4, msg=name)


def check_permutation(encoder: Encoder) -> None:
    """Permuting the batch permutes outputs, summary and state."""
    inputs = make_inputs(encoder)
    order = torch.tensor([3, 1, 4, 2, 0])
    outputs, state = encoder(inputs, LENGTHS)
    permuted, permuted_state = encoder(inputs[order], LENGTHS[order])
    torch.testing.assert_close(permuted, outputs[order], **CLOSE)
    summary = encoder.summary(outputs, LENGTHS)
    torch.testing.assert_close(encoder.summary(permuted, LENGTHS[order]), summary[order], **CLOSE)
    assert_states_close(permuted_state, select_rows(state, order))


def check_neighbours(encoder: Encoder) -> None:
    """A row alone, without padding, gives what it gives among others: outputs, summary and state."""
    inputs = make_inputs(encoder)
    outputs, state = encoder(inputs, LENGTHS)
    summary = encoder.summary(outputs, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, alone_state = encoder(inputs[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0], outputs[row, :length], **CLOSE)
        torch.testing.assert_close(encoder.summary(alone, LENGTHS[row : row + 1])[0], summary[row], **CLOSE)
        assert_states_close(alone_state, select_rows(state, torch.tensor([row])))


def check_causality(encoder: Encoder) -> None:
    """What comes later changes no earlier output of a causal encoder."""
    inputs = make_inputs(encoder)
    outputs, _ = encoder(inputs, LENGTHS)
    for time in (1, 4, 10):
        changed = inputs.clone()
        changed[:, time:] += 1.0
        others, _ = encoder(changed, LENGTHS)
        torch.testing.assert_close(others[:, :time], outputs[:, :time], **CLOSE)
        assert not torch.allclose(others[0, time:], outputs[0, time:], **CLOSE)


def check_chunks(encoder: Encoder) -> None:
    """Reading in chunks with carried state equals reading the whole, also where rows end inside a chunk."""
    inputs = make_inputs(encoder)
    whole, final = encoder(inputs, LENGTHS)
    for size in (1, 2, 7, 11):
        state, pieces = None, []
        for start in range(0, 11, size):
            chunk = inputs[:, start : start + size]
            outputs, state = encoder(chunk, (LENGTHS - start).clamp(0, chunk.size(1)), state)
            pieces.append(outputs)
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole, **CLOSE)
        assert_states_close(state, final)


def check_steps(encoder: Encoder) -> None:
    """Single steps from the initial state equal the whole, and `None` stands for the initial state."""
    lengths = torch.full((5,), 11)
    inputs = make_inputs(encoder, lengths)
    whole, final = encoder(inputs, lengths)
    explicit, _ = encoder(inputs, lengths, encoder.initial_state(5))
    torch.testing.assert_close(explicit, whole, **CLOSE)
    state = encoder.initial_state(5)
    for time in range(11):
        output, state = encoder.step(inputs[:, time], state)
        torch.testing.assert_close(output, whole[:, time], **CLOSE)
    assert_states_close(state, final)


def check_reordered_state(encoder: Encoder) -> None:
    """Rows of a state may be selected, repeated and dropped between chunks, as a beam does."""
    lengths = torch.full((5,), 7)
    inputs = make_inputs(encoder, lengths)
    rows = torch.tensor([4, 4, 0])
    _, state = encoder(inputs[:, :3], lengths - 4)
    chosen, _ = encoder(inputs[rows, 3:], lengths[rows] - 3, select_rows(state, rows))
    whole, _ = encoder(inputs, lengths)
    torch.testing.assert_close(chosen, whole[rows, 3:], **CLOSE)


def check_empty_rows(encoder: Encoder) -> None:
    """Batches in which no row has a step, padded or not, give zeros and clean gradients, and keep the state."""
    nothing = torch.zeros(5, dtype=torch.int64)
    outputs, _ = encoder(make_inputs(encoder, time=4), nothing)
    assert torch.all(outputs == 0)
    assert torch.all(encoder.summary(outputs, nothing) == 0)
    by_inputs, by_parameters = gradients(encoder, make_inputs(encoder, time=4), nothing)
    assert torch.all(by_inputs == 0)
    assert all(torch.isfinite(gradient).all() for gradient in by_parameters.values())
    outputs, _ = encoder(torch.zeros(5, 0, encoder.input_size), nothing)
    assert outputs.shape == (5, 0, encoder.output_size)
    assert torch.all(encoder.summary(outputs, nothing) == 0)
    if encoder.causal:
        _, state = encoder(make_inputs(encoder), LENGTHS)
        _, kept = encoder(make_inputs(encoder, time=4), nothing, state)
        assert_states_close(kept, state, atol=0, rtol=0)
        _, kept = encoder(torch.zeros(5, 0, encoder.input_size), nothing, state)
        assert_states_close(kept, state, atol=0, rtol=0)


def check_bfloat16(encoder: Encoder) -> None:
    """Weights of bfloat16, and mixed precision, give what float32 gives, to their three digits."""
    inputs = make_inputs(encoder)
    outputs, _ = encoder(inputs, LENGTHS)
    small, state = copy.deepcopy(encoder).bfloat16()(inputs.bfloat16(), LENGTHS)
    assert small.dtype == torch.bfloat16
    assert all(torch.isfinite(part).all() for part in tensors_of(state))
    torch.testing.assert_close(small.float(), outputs, atol=0.08, rtol=0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for given in (inputs, inputs.bfloat16()):
            mixed, state = encoder(given, LENGTHS)
            torch.testing.assert_close(mixed.float(), outputs, atol=0.08, rtol=0.05)
            if encoder.causal:
                encoder.step(given[:, 0], state)
                encoder(given, LENGTHS, state)
        _, by_parameters = gradients(encoder, inputs, LENGTHS)
    assert all(torch.isfinite(gradient).all() for gradient in by_parameters.values())


def check_float64(encoder: Encoder) -> None:
    """Weights of float64 give what float32 gives."""
    outputs, _ = encoder(make_inputs(encoder), LENGTHS)
    exact, _ = copy.deepcopy(encoder).double()(make_inputs(encoder).double(), LENGTHS)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact.float(), outputs, **CLOSE)


def check_gradients(encoder: Encoder) -> None:
    """Gradients are finite and reach the inputs and every parameter that is trained, in either mode."""
    for mode in (False, True):
        encoder.train(mode)
        by_inputs, by_parameters = gradients(encoder, make_inputs(encoder), LENGTHS)
        assert torch.isfinite(by_inputs).all()
        assert torch.all(by_inputs[0].abs().sum(1) > 0)
        for name, parameter in encoder.named_parameters():
            if parameter.requires_grad:
                assert name in by_parameters, f"no gradient reaches {name}"
                assert torch.isfinite(by_parameters[name]).all(), name
                assert by_parameters[name].abs().sum() > 0, f"no gradient reaches {name}"
    encoder.eval()


def check_state_dict(encoder: Encoder, other: Encoder) -> None:
    """An encoder of the same spec and other weights gives the same after loading the state_dict."""
    inputs = make_inputs(encoder)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(encoder(inputs, LENGTHS)[0], other(inputs, LENGTHS)[0])


FOR_ALL = (
    check_sizes,
    check_padding,
    check_permutation,
    check_neighbours,
    check_empty_rows,
    check_bfloat16,
    check_float64,
    check_gradients,
)
FOR_CAUSAL = (check_causality, check_chunks, check_steps, check_reordered_state)
