"""What every decoder promises, for each attention, with input feeding and without, over layers of all kinds."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from seqmodels.attention import list_attentions
from seqmodels.decoders import AttentionDecoder, create_decoder, decoder_registry, list_decoders
from seqmodels.encoders import create_encoder, map_state, select_rows
from seqmodels.errors import ConfigurationError
from seqmodels.generation.beam_options import BeamOptions
from seqmodels.generation.beam_search import beam_search

BATCH, TIME, SOURCE_TIME, INPUT, MEMORY, HIDDEN = 4, 5, 7, 3, 6, 6
SOURCE_LENGTHS = torch.tensor([7, 2, 0, 4])
LENGTHS = torch.tensor([3, 5, 4, 0])
LAYERS = {
    "lstm": {"name": "lstm", "hidden_size": HIDDEN},
    "gru of 2 layers": {"name": "gru", "hidden_size": HIDDEN, "num_layers": 2},
    "lstm_cell": {"name": "lstm_cell", "hidden_size": HIDDEN},
    "mingru": {"name": "mingru", "hidden_size": HIDDEN},
    "stacked": {
        "name": "stacked",
        "layers": [{"name": "qrnn", "hidden_size": 5}, {"name": "gru_cell", "hidden_size": HIDDEN}],
    },
}
ATTENTIONS = {name: {"name": name} for name in list_attentions()}
ATTENTIONS["multi_head"] = {"name": "multi_head", "num_heads": 3}
ATTENTIONS["additive with coverage"] = {"name": "additive", "coverage": True}
VARIANTS = {
    f"{attention}, {layer}{', input feeding' if feeding else ''}": (attention, layer, feeding)
    for attention, layer, feeding in itertools.product(ATTENTIONS, LAYERS, (False, True))
}
FEW = [name for name, (attention, layer, _) in VARIANTS.items() if layer == "lstm_cell" or attention == "additive"]


def build(variant: str) -> AttentionDecoder:
    attention, layer, feeding = VARIANTS[variant]
    torch.manual_seed(0)
    decoder = AttentionDecoder(
        INPUT, MEMORY, layer=LAYERS[layer], attention=ATTENTIONS[attention], input_feeding=feeding
    )
    return decoder.eval()


def draw() -> tuple[Tensor, Tensor, Tensor]:
    """Embedded target, memory, summary."""
    generator = torch.Generator().manual_seed(1)
    shapes = (BATCH, TIME, INPUT), (BATCH, SOURCE_TIME, MEMORY), (BATCH, MEMORY)
    embedded, memory, summary = (torch.randn(shape, generator=generator) for shape in shapes)
    return embedded, memory, summary


def assert_states_close(first, second) -> None:
    map_state(lambda a, b: torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-5) or a, first, second)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_forward_is_as_many_steps(variant):
    decoder = build(variant)
    embedded, memory, summary = draw()
    before, keys = decoder.begin(memory, SOURCE_LENGTHS, summary)
    outputs, state, attention = decoder(embedded, LENGTHS, before, keys)
    assert outputs.shape == (BATCH, TIME, decoder.output_size)
    for row, length in enumerate(LENGTHS.tolist()):
        stepped = select_rows(before, torch.tensor([row]))
        for time in range(length):
            output, stepped = decoder.step(embedded[row : row + 1, time], stepped, keys)
            torch.testing.assert_close(output[0], outputs[row, time], atol=2e-5, rtol=2e-5)
            if decoder.attends:
                looked = decoder.read_attention(stepped)[0]
                torch.testing.assert_close(looked, attention[row, time], atol=2e-5, rtol=2e-5)
        assert_states_close(stepped, select_rows(state, torch.tensor([row])))
        assert not outputs[row, length:].any()
        assert attention is None or not attention[row, length:].any()


@pytest.mark.parametrize("variant", FEW)
@torch.no_grad()
def test_chunks_are_the_whole(variant):
    decoder = build(variant)
    embedded, memory, summary = draw()
    before, keys = decoder.begin(memory, SOURCE_LENGTHS, summary)
    whole = decoder(embedded, LENGTHS, before, keys)
    first = decoder(embedded[:, :2], LENGTHS.clamp(max=2), before, keys)
    second = decoder(embedded[:, 2:], (LENGTHS - 2).clamp(min=0), first.state, keys)
    torch.testing.assert_close(torch.cat([first.outputs, second.outputs], 1), whole.outputs, atol=2e-5, rtol=2e-5)
    assert_states_close(second.state, whole.state)


@pytest.mark.parametrize("variant", FEW)
@torch.no_grad()
def test_padding_and_neighbours_change_nothing(variant):
    decoder = build(variant)
    embedded, memory, summary = draw()
    expected = decoder(embedded, LENGTHS, *decoder.begin(memory, SOURCE_LENGTHS, summary))
    padded = nn.functional.pad(memory, (0, 0, 0, 2), value=torch.nan)
    longer = nn.functional.pad(embedded, (0, 0, 0, 1), value=torch.nan)
    for row, (source_length, length) in enumerate(zip(SOURCE_LENGTHS, LENGTHS, strict=True)):
        padded[row, source_length:] = torch.nan
        longer[row, length:] = torch.nan
    outputs, _, attention = decoder(longer, LENGTHS, *decoder.begin(padded, SOURCE_LENGTHS, summary))
    torch.testing.assert_close(outputs[:, :TIME], expected.outputs, atol=2e-5, rtol=2e-5)
    if attention is not None:
        torch.testing.assert_close(attention[:, :TIME, :SOURCE_TIME], expected.attention, atol=2e-5, rtol=2e-5)
    order = torch.tensor([2, 0, 3, 1])
    parts = (memory[order], SOURCE_LENGTHS[order], summary[order])
    permuted = decoder(embedded[order], LENGTHS[order], *decoder.begin(*parts))
    torch.testing.assert_close(permuted.outputs, expected.outputs[order], atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("variant", FEW)
@torch.no_grad()
def test_rows_of_the_state_are_selected_and_the_keys_are_not(variant):
    decoder = build(variant)
    _, memory, summary = draw()
    state, keys = decoder.begin(memory, SOURCE_LENGTHS, summary)
    for order in ([0, 0, 1, 1, 2, 2, 3, 3], [1, 1, 1, 3, 3, 3], [3, 0, 0, 1], [2, 1, 0, 3], [2]):
        rows = torch.tensor(order)
        chosen = select_rows(state, rows)
        inputs = torch.randn(len(order), 2, INPUT)
        outputs, following = decoder.step(inputs[:, 0], chosen, keys)
        outputs, following = decoder.step(inputs[:, 1], following, keys)
        whole = decoder(inputs, torch.full((len(order),), 2), chosen, keys)
        copied, _ = decoder.begin(memory[rows], SOURCE_LENGTHS[rows], summary[rows])
        _, own_keys = decoder.begin(memory[rows], SOURCE_LENGTHS[rows], summary[rows])
        expected = decoder(inputs, torch.full((len(order),), 2), copied, own_keys)
        torch.testing.assert_close(whole.outputs, expected.outputs, atol=2e-5, rtol=2e-5)
        torch.testing.assert_close(outputs, expected.outputs[:, 1], atol=2e-5, rtol=2e-5)
        torch.testing.assert_close(following["source"], rows)


@pytest.mark.parametrize("variant", FEW)
def test_gradients_reach_every_parameter_and_only_the_past(variant):
    decoder = build(variant).train()
    embedded, memory, summary = (part.requires_grad_() for part in draw())
    outputs, _, _ = decoder(embedded, LENGTHS, *decoder.begin(memory, SOURCE_LENGTHS, summary))
    outputs.square().sum().backward()
    assert [name for name, parameter in decoder.named_parameters() if parameter.grad is None] == []
    for row, length in enumerate(LENGTHS.tolist()):
        assert not embedded.grad[row, length:].any()
        assert not decoder.attends or not memory.grad[row, SOURCE_LENGTHS[row] :].any()
    embedded.grad = None
    outputs, _, _ = decoder(embedded, LENGTHS, *decoder.begin(memory, SOURCE_LENGTHS, summary))
    outputs[:, 2].square().sum().backward()
    assert embedded.grad[1, :3].all()
    assert not embedded.grad[:, 3:].any()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("feeding", [False, True])
def test_gradients_are_those_of_finite_differences(attention, feeding):
    decoder = build(f"{attention}, lstm_cell{', input feeding' if feeding else ''}").double()
    embedded, memory, summary = (part[:2, :3].double().requires_grad_() for part in draw())
    lengths = torch.tensor([3, 1])

    def run(embedded, memory, summary):
        outputs, state, _ = decoder(embedded, lengths, *decoder.begin(memory, torch.tensor([3, 2]), summary))
        return outputs, *state["layer"]

    summary = draw()[2][:2].double().requires_grad_()
    assert torch.autograd.gradcheck(run, (embedded, memory, summary), fast_mode=True)


@pytest.mark.parametrize("feeding", [False, True])
@torch.no_grad()
def test_it_is_its_equations(feeding):
    decoder = AttentionDecoder(
        INPUT, MEMORY, layer={"name": "gru", "hidden_size": HIDDEN}, attention="dot", input_feeding=feeding
    )
    embedded, memory, summary = draw()
    lengths = torch.full((BATCH,), TIME)
    outputs, _, _ = decoder(embedded, lengths, *decoder.begin(memory, torch.full((BATCH,), SOURCE_TIME), summary))
    cell = nn.GRUCell(decoder.layer.input_size, HIDDEN)
    cell.load_state_dict({name: decoder.layer.network.state_dict()[f"{name}_l0"] for name in cell.state_dict()})
    h = torch.tanh(decoder.bridge.projection(summary))
    o = torch.zeros(BATCH, HIDDEN)
    for time in range(TIME):
        h = cell(torch.cat([embedded[:, time], o], 1) if feeding else embedded[:, time], h)
        weights = torch.einsum("bh,bsh->bs", h, memory).softmax(1)
        context = torch.einsum("bs,bsh->bh", weights, memory)
        o = torch.tanh(decoder.from_hidden(h) + decoder.from_context(context))
        torch.testing.assert_close(outputs[:, time], o)


@pytest.mark.parametrize("feeding", [False, True])
@torch.no_grad()
def test_without_attention_the_summary_joins_every_step(feeding):
    decoder = AttentionDecoder(
        INPUT, MEMORY, layer={"name": "gru", "hidden_size": HIDDEN}, attention="none", input_feeding=feeding
    )
    assert decoder.layer.input_size == INPUT + MEMORY + (HIDDEN if feeding else 0)
    embedded, memory, summary = draw()
    state, keys = decoder.begin(memory, SOURCE_LENGTHS, summary)
    first = decoder(embedded, LENGTHS, state, keys)
    second = decoder(embedded, LENGTHS, state, {"values": summary + 1})
    assert (first.outputs[0, :3] != second.outputs[0, :3]).all()
    assert first.attention is None
    other = decoder(embedded, LENGTHS, *decoder.begin(torch.zeros_like(memory), SOURCE_LENGTHS, summary))
    torch.testing.assert_close(other.outputs, first.outputs)


@pytest.mark.parametrize("encoder", [{"name": "lstm", "bidirectional": True}, {"name": "mlstm"}, {"name": "gru"}])
@pytest.mark.parametrize("layer", ["lstm", "gru", "mlstm", "slstm", "s6", "sru", "convolution"])
def test_the_bridge_fits_any_encoder_to_any_layer(encoder, layer):
    reading = create_encoder({**encoder, "hidden_size": 8}, INPUT)
    spec = {"name": layer, "hidden_size": 8, **({"causal": True} if layer == "convolution" else {})}
    decoder = AttentionDecoder(INPUT, reading.output_size, layer=spec, input_feeding=True).eval()
    embedded, _, _ = draw()
    lengths = torch.tensor([5, 2, 0, 4])
    memory, _ = reading(embedded, lengths)
    outputs, state, _ = decoder(embedded, LENGTHS, *decoder.begin(memory, lengths, reading.summary(memory, lengths)))
    assert outputs.isfinite().all()
    map_state(lambda part: part if part.size(0) == BATCH else pytest.fail("batch is not the first axis"), state)
    outputs.sum().backward()
    # the sLSTM begins with a memory that is marked as empty, and with recurrent weights of zero
    assert decoder.bridge.projection.weight.grad.any() or layer == "slstm"


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("feeding", [False, True])
def test_dropout(locked, feeding):
    torch.manual_seed(0)
    layer = {"name": "gru", "hidden_size": 31}
    decoder = AttentionDecoder(INPUT, MEMORY, layer=layer, input_feeding=feeding, dropout=0.5, locked_dropout=locked)
    embedded, memory, summary = draw()
    lengths = torch.full((BATCH,), TIME)
    state, keys = decoder.begin(memory, SOURCE_LENGTHS, summary)
    dropped = decoder(embedded, lengths, state, keys).outputs == 0
    assert 0.3 < dropped.float().mean() < 0.7
    assert bool((dropped == dropped[:, :1]).all()) == locked
    output, _ = decoder.step(embedded[:, 0], state, keys)
    assert 0.3 < (output == 0).float().mean() < 0.7
    decoder.eval()
    assert decoder(embedded, lengths, state, keys).outputs.all()


@pytest.mark.parametrize("feeding", [False, True])
def test_mixed_precision(feeding):
    decoder = AttentionDecoder(INPUT, MEMORY, layer={"name": "gru_cell", "hidden_size": HIDDEN}, input_feeding=feeding)
    embedded, memory, summary = draw()
    expected = decoder(embedded, LENGTHS, *decoder.begin(memory, SOURCE_LENGTHS, summary)).outputs
    with torch.autocast("cpu", torch.bfloat16):
        outputs = decoder(embedded, LENGTHS, *decoder.begin(memory, SOURCE_LENGTHS, summary)).outputs
    torch.testing.assert_close(outputs.float(), expected, atol=0.05, rtol=0.05)
    outputs.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in decoder.parameters())


@pytest.mark.parametrize("shape", [(0, TIME), (BATCH, 0)])
@pytest.mark.parametrize("variant", [name for name in FEW if "lstm_cell" in name])
def test_nothing_to_decode(variant, shape):
    decoder = build(variant)
    rows, time = shape
    memory = torch.zeros(rows, SOURCE_TIME, MEMORY)
    state, keys = decoder.begin(memory, torch.zeros(rows, dtype=torch.int64), torch.zeros(rows, MEMORY))
    decoded = decoder(torch.zeros(rows, time, INPUT), torch.zeros(rows, dtype=torch.int64), state, keys)
    assert decoded.outputs.shape == (rows, time, HIDDEN)
    assert_states_close(decoded.state, state)
    if rows == 0:
        output, _ = decoder.step(torch.zeros(0, INPUT), state, keys)
        assert output.shape == (0, HIDDEN)


class Translator(nn.Module):
    """Reads and writes digits."""

    def __init__(self, vocab_size: int, **arguments) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 13)
        self.encoder = create_encoder({"name": "lstm", "hidden_size": 16, "bidirectional": True}, 13)
        self.decoder = AttentionDecoder(13, 32, **arguments)
        self.head = nn.Linear(self.decoder.output_size, vocab_size)

    def begin(self, source: Tensor, lengths: Tensor):
        memory, _ = self.encoder(self.embedding(source), lengths)
        return self.decoder.begin(memory, lengths, self.encoder.summary(memory, lengths))

    def loss(self, source: Tensor, lengths: Tensor, written: Tensor, targets: Tensor) -> Tensor:
        outputs, _, _ = self.decoder(self.embedding(written), lengths, *self.begin(source, lengths))
        return nn.functional.cross_entropy(self.head(outputs).flatten(0, 1), targets.flatten())

    def stepping(self, keys):
        def step(ids: Tensor, state):
            outputs, state = self.decoder.step(self.embedding(ids), state, keys)
            return self.head(outputs), state

        return step


@pytest.mark.parametrize("feeding", [False, True])
def test_it_learns_to_reverse_and_a_beam_reads_where_it_looks(feeding):
    torch.manual_seed(0)
    layer = {"name": "gru", "hidden_size": 32}
    model = Translator(11, layer=layer, attention="additive", input_feeding=feeding)
    source = torch.randint(1, 11, (16, 6))
    targets = source.flip(1)
    written = nn.functional.pad(targets[:, :-1], (1, 0))
    lengths = torch.full((16,), 6)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(80):
        optimizer.zero_grad()
        loss = model.loss(source, lengths, written, targets)
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    model.eval()
    with torch.no_grad():
        state, keys = model.begin(source, lengths)
    options = BeamOptions(beam_size=3, max_length=6)
    read = model.decoder.read_attention
    found = beam_search(
        model.stepping(keys), state, torch.zeros(16, dtype=torch.int64), options, eos_id=None, read_attention=read
    )
    assert [hypotheses[0].ids for hypotheses in found] == targets.tolist()
    torch.testing.assert_close(found[0][0].attention.sum(1), torch.ones(6))


@torch.no_grad()
def test_a_beam_finds_for_a_sentence_what_it_finds_for_it_alone():
    torch.manual_seed(3)
    model = Translator(11, layer={"name": "lstm", "hidden_size": 7}, attention="general", input_feeding=True).eval()
    model.head.weight.mul_(9)  # decided enough for sentences to end, and so to leave, at different steps
    source, lengths = torch.randint(1, 11, (5, 6)), torch.tensor([6, 1, 3, 0, 4])
    options = BeamOptions(beam_size=4, max_length=9)

    def search(rows: slice):
        state, keys = model.begin(source[rows], lengths[rows])
        first = torch.zeros(len(lengths[rows]), dtype=torch.int64)
        return beam_search(model.stepping(keys), state, first, options, eos_id=10)

    together = search(slice(None))
    for row in range(5):
        (alone,) = search(slice(row, row + 1))
        assert [hypothesis.ids for hypothesis in alone] == [hypothesis.ids for hypothesis in together[row]]


def test_every_decoder_is_built_by_name():
    for name in list_decoders():
        decoder_registry.check(name)
        assert create_decoder(name, INPUT, MEMORY).input_size == INPUT
    assert isinstance(create_decoder({"attention": "none", "dropout": 0.1}, INPUT, MEMORY), AttentionDecoder)


def test_errors():
    with pytest.raises(ConfigurationError, match=r"layer LSTM reads the future.*choose a causal encoder"):
        AttentionDecoder(INPUT, MEMORY, layer={"name": "lstm", "bidirectional": True})
    with pytest.raises(ConfigurationError, match="decoder: layer: unknown encoder 'lstn'"):
        AttentionDecoder(INPUT, MEMORY, layer="lstn")
    with pytest.raises(ConfigurationError, match=r"dropout must be in \[0, 1\), got 1"):
        AttentionDecoder(INPUT, MEMORY, dropout=1)
    with pytest.raises(ConfigurationError, match="sizes must be equal; got query_size 128 and memory_size 6"):
        AttentionDecoder(INPUT, MEMORY, attention="dot")
    decoder = build("none, lstm")
    embedded, memory, summary = draw()
    with pytest.raises(ConfigurationError, match=r"expected memory \(batch, source_time, 6\).*got \(4, 7, 6\), \(3,\)"):
        decoder.begin(memory, SOURCE_LENGTHS[:3], summary)
    state, keys = decoder.begin(memory, SOURCE_LENGTHS, summary)
    with pytest.raises(ConfigurationError, match=r"expected embedded of shape \(4, time, 3\).*got \(4, 5, 2\)"):
        decoder(embedded[:, :, :2], LENGTHS, state, keys)
    with pytest.raises(ConfigurationError, match=r"expected embedded of shape \(4, 3\).*got \(3, 3\)"):
        decoder.step(embedded[:3, 0], state, keys)
    with pytest.raises(ConfigurationError, match=r"expected lengths of shape \(4,\).*got \(3,\)"):
        decoder(embedded, LENGTHS[:3], state, keys)
    with pytest.raises(ConfigurationError, match="nothing to read; choose an attention, such as additive"):
        decoder.read_attention(state)
