"""Zoneout and recurrent dropout: what they keep, what they drop, and whom they may wrap."""

from __future__ import annotations

import contract
import pytest
import torch

from seqmodels.encoders import Cell, Unrolled, create_encoder, select_rows
from seqmodels.errors import ConfigurationError

LENGTHS = torch.tensor([11, 3, 0, 8, 1])
WRAPPED = ("elman", "lstm_cell", "gru_cell", "gru_2014", "peephole_lstm", "coupled_lstm", "layer_norm_lstm", "indrnn")


class Keyed(Cell):
    """Counts steps in a state of a dict, takes no mask, and returns what is not in its state."""

    def __init__(self, input_size: int) -> None:
        super().__init__(input_size, 7)
        self.mix = torch.nn.Linear(input_size, 7)

    def initial_state(self, batch_size):
        h = self.mix.weight.new_zeros(batch_size, 7)
        return {"h": h, "steps": h.new_zeros(batch_size, dtype=torch.int64)}

    def step(self, inputs, state):
        h = torch.tanh(self.mix(inputs) + state["h"])
        return 2 * h, {"h": h, "steps": state["steps"] + 1}


def wrap(name: str, inner: object = None, **options: float) -> Unrolled:
    torch.manual_seed(0)
    inner = {"name": "lstm_cell", "hidden_size": 7} if inner is None else inner
    encoder = create_encoder({"name": name, "cell": inner, **options}, 5)
    assert isinstance(encoder, Unrolled)
    return encoder


@pytest.mark.parametrize("check", [*contract.FOR_ALL, *contract.FOR_CAUSAL], ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("zoneout", {"name": "gru_2014", "hidden_size": 7}),
        ("zoneout", f"{__name__}.Keyed"),
        ("zoneout", {"name": "variational_dropout", "cell": {"name": "peephole_lstm", "hidden_size": 7}}),
        ("variational_dropout", {"name": "zoneout", "cell": {"name": "lstm_cell", "hidden_size": 7}}),
    ],
)
def test_wrapped_cells_keep_the_contract(outer, inner, check):
    check(wrap(outer, inner).eval())


@pytest.mark.parametrize("outer", ["zoneout", "variational_dropout"])
@pytest.mark.parametrize("inner", WRAPPED)
def test_every_cell_may_be_wrapped_and_rates_of_zero_change_nothing(outer, inner):
    rates = {"zoneout": 0.0, "memory_zoneout": 0.0} if outer == "zoneout" else {"dropout": 0.0}
    encoder = wrap(outer, {"name": inner, "hidden_size": 7}, **rates).train()
    inputs = torch.randn(5, 11, 5)
    outputs, _ = encoder(inputs, LENGTHS)
    torch.testing.assert_close(outputs, Unrolled(encoder.cell.cell)(inputs, LENGTHS)[0])


def test_zoneout_keeps_single_features_at_its_rates():
    encoder = wrap("zoneout", {"name": "lstm_cell", "hidden_size": 211}, zoneout=0.2, memory_zoneout=0.7).train()
    state = tuple(torch.randn(31, 211) for _ in range(2))
    output, (h, c) = encoder.step(torch.randn(31, 5), state)
    assert torch.equal(output, h)
    kept_h, kept_c = (h == state[0]).float(), (c == state[1]).float()
    assert kept_h.mean().item() == pytest.approx(0.2, abs=0.02)
    assert kept_c.mean().item() == pytest.approx(0.7, abs=0.02)
    assert (kept_h * kept_c).mean().item() == pytest.approx(0.14, abs=0.02)  # independent of one another
    _, (again, _) = encoder.step(torch.randn(31, 5), state)
    assert not torch.equal(kept_h, (again == state[0]).float())


def test_zoneout_takes_the_expectation_outside_training():
    encoder = wrap("zoneout", zoneout=0.2, memory_zoneout=0.7).eval()
    inputs, state = torch.randn(3, 5), (torch.randn(3, 7), torch.randn(3, 7))
    _, (h, c) = encoder.cell.cell.step(inputs, state)
    output, (kept_h, kept_c) = encoder.step(inputs, state)
    torch.testing.assert_close(kept_h, 0.2 * state[0] + 0.8 * h)
    torch.testing.assert_close(kept_c, 0.7 * state[1] + 0.3 * c)
    assert torch.equal(output, kept_h)


def test_zoneout_leaves_counters_and_other_outputs_alone():
    encoder = wrap("zoneout", f"{__name__}.Keyed", zoneout=0.5).eval()
    _, state = encoder(torch.randn(5, 11, 5), LENGTHS)
    assert torch.equal(state["steps"], LENGTHS)
    output, state = encoder.step(torch.ones(3, 5), encoder.initial_state(3))
    torch.testing.assert_close(output, 4 * state["h"])


def test_the_mask_lives_in_the_state():
    encoder = wrap("variational_dropout", {"name": "lstm_cell", "hidden_size": 211}, dropout=0.4).train()
    state = encoder.initial_state(31)
    _, mask = state
    assert mask.shape == (31, 211)
    assert (mask == 0).float().mean().item() == pytest.approx(0.4, abs=0.02)
    assert mask[mask > 0].unique().tolist() == pytest.approx([1 / 0.6])
    assert not torch.equal(mask[0], mask[1])
    assert not torch.equal(encoder.initial_state(31)[1], mask)
    inputs = torch.randn(31, 11, 5)
    outputs, (_, carried) = encoder(inputs, torch.full((31,), 11), state)
    assert torch.equal(carried, mask)
    again, _ = encoder(inputs, torch.full((31,), 11), state)
    assert torch.equal(outputs, again)
    rows = torch.tensor([3, 3, 0])
    chosen, (_, chosen_mask) = encoder(inputs[rows], torch.full((3,), 11), select_rows(state, rows))
    torch.testing.assert_close(chosen, outputs[rows])
    assert torch.equal(chosen_mask, mask[rows])
    assert not list(encoder.buffers())


@pytest.mark.parametrize("inner", ["lstm_cell", "gru_cell", "gru_2014"])
def test_a_dropped_feature_is_dropped_at_every_step_and_in_chunks(inner):
    encoder = wrap("variational_dropout", {"name": inner, "hidden_size": 7}, dropout=0.5).train()
    inputs, lengths = torch.randn(3, 11, 5), torch.full((3,), 11)
    start = encoder.initial_state(3)
    mask = torch.ones(3, 7)
    mask[:, 2] = 0
    outputs, _ = encoder(inputs, lengths, (start[0], mask))
    plain = encoder.cell.cell
    with torch.no_grad():  # a feature that no product sees is one whose column of weights is zero
        for weight in (plain.from_state.weight, *([plain.from_reset_state.weight] if inner == "gru_2014" else [])):
            weight[:, 2] = 0
    torch.testing.assert_close(outputs, Unrolled(plain)(inputs, lengths)[0])
    first, state = encoder(inputs[:, :4], torch.full((3,), 4), (start[0], mask))
    second, _ = encoder(inputs[:, 4:], torch.full((3,), 7), state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), outputs)


def test_what_a_gru_keeps_is_not_dropped():
    encoder = wrap("variational_dropout", {"name": "gru_cell", "hidden_size": 7}, dropout=0.5).train()
    encoder.cell.cell.from_input.bias.detach()[7:14] = 30.0  # z = 1: h stays
    h = torch.randn(3, 7)
    _, mask = encoder.initial_state(3)
    _, (kept, _) = encoder(torch.randn(3, 11, 5), torch.full((3,), 11), (h, mask))
    torch.testing.assert_close(kept, h)


def test_nothing_is_dropped_outside_training():
    encoder = wrap("variational_dropout", dropout=0.5).train()
    inputs = torch.randn(5, 11, 5)
    state = encoder.initial_state(5)
    outputs, (_, mask) = encoder.eval()(inputs, LENGTHS, state)
    torch.testing.assert_close(outputs, Unrolled(encoder.cell.cell)(inputs, LENGTHS)[0])
    assert torch.equal(mask, state[1])
    assert torch.equal(encoder.initial_state(3)[1], torch.ones(3, 7))


def test_two_masks_multiply():
    inner = {"name": "variational_dropout", "cell": {"name": "elman", "hidden_size": 7}, "dropout": 0.5}
    encoder = wrap("variational_dropout", inner, dropout=0.5).train()
    h, first, second = torch.randn(3, 7), torch.rand(3, 7), torch.rand(3, 7)
    inputs = torch.randn(3, 5)
    output, _ = encoder.step(inputs, ((h, first), second))
    plain = encoder.cell.cell.cell
    torch.testing.assert_close(output, plain.step_projected(plain.project(inputs), h, first * second)[0])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "zoneout", "zoneout": 1.0}, r"Zoneout: zoneout must be in \[0, 1\), got 1.0"),
        ({"name": "zoneout", "memory_zoneout": -0.1}, r"Zoneout: memory_zoneout must be in \[0, 1\), got -0.1"),
        ({"name": "variational_dropout", "dropout": 1.5}, r"VariationalDropout: dropout must be in \[0, 1\), got 1.5"),
        ({"name": "zoneout", "cell": "lstm"}, "zoneout: cell: expected a cell.* got 'lstm'.* cells: .*gru_2014"),
        ({"name": "zoneout", "cell": "lstm_sell"}, "zoneout: cell: unknown encoder 'lstm_sell'.*'lstm_cell'"),
        (
            {"name": "variational_dropout", "cell": f"{__name__}.Keyed"},
            "expected a cell that takes a mask of its recurrence, got .*choose zoneout",
        ),
    ],
)
def test_wrong_specs_of_wrappers_are_refused(spec, message):
    with pytest.raises(ConfigurationError, match=message):
        create_encoder(spec, 5)
