from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import seqmodels
from seqmodels.data.encoded import IGNORED, round_time
from seqmodels.data.labelled_sequences import LabelledSequences
from seqmodels.data.schema import Schema
from seqmodels.data.sequence_pairs import SequencePairs
from seqmodels.errors import CheckpointError, ConfigurationError, DataError

READER: dict[str, Any] = {"name": "parallel", "source": "en", "target": "de"}
PAIRS = [
    ("a cat", "eine Katze"),
    ("the old cat sleeps", "die alte Katze schläft"),
    ("sleep !", "schlaf !"),
    ("a cat and a cat and a cat", "Katzen"),
    ("no", "nein"),
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQMODELS_CACHE", str(tmp_path / "cache"))


def write(tmp_path: Path, name: str, pairs: list[tuple[str, str]]) -> str:
    for side, ending in enumerate(("en", "de")):
        (tmp_path / f"{name}.{ending}").write_text("".join(f"{pair[side]}\n" for pair in pairs))
    return str(tmp_path / name)


def pairs(tmp_path: Path, rows: list[tuple[str, str]] = PAIRS, **arguments: Any) -> SequencePairs:
    if "train" not in arguments:
        arguments["train"] = write(tmp_path, "train", rows)
    return SequencePairs(**{"reader": READER, "tokenizer": "word", "batch_size": 2} | arguments)


def many(rows: int = 211) -> list[tuple[str, str]]:
    random = np.random.default_rng(0)
    lengths = random.lognormal(2, 0.6, rows).astype(int) + 1
    return [
        (" ".join(["cat"] * length), " ".join(["Katze"] * max(1, int(length * random.uniform(0.7, 1.5)))))
        for length in lengths
    ]


def table(path: Path, rows: list[tuple[str, str]]) -> str:
    path.write_text("".join(json.dumps({"en": source, "de": target}) + "\n" for source, target in rows))
    return str(path)


TABLE = {"name": "jsonl", "text": "en", "target_text": "de"}


def rows_of(loader: Any) -> list[int]:
    return [row for batch in loader for row in batch.rows.tolist()]


def test_gives_batches_of_all_splits(tmp_path: Path):
    data = pairs(
        tmp_path,
        validation=write(tmp_path, "dev", PAIRS[:1]),
        test=write(tmp_path, "test", [("the dog", "der Hund"), *PAIRS[:2]]),
        predict=str(tmp_path / "test.en"),
    )
    data.prepare_data()
    data.setup()
    assert sorted(rows_of(data.train_dataloader())) == [0, 1, 2, 3, 4]
    assert rows_of(data.val_dataloader()) == [0]
    source, target = data.schema.tokens.tokenizer, data.schema.target_tokens.tokenizer
    for batch in data.test_dataloader():
        for place, row in enumerate(batch.rows.tolist()):
            example = data.examples("test")[row]
            length, written = int(batch.lengths[place]), int(batch.target_lengths[place])
            assert batch.inputs["ids"][place, :length].tolist() == source.encode_texts([example["text"]])[0]
            expected = [*target.encode_texts([example["target_text"]])[0], target.eos_id]
            assert batch.targets[place, :written].tolist() == expected
            assert (batch.targets[place, written:] == IGNORED).all()
            if row:
                assert target.decode(batch.targets[place, :written].tolist()) == example["target_text"]
    batches = list(data.predict_dataloader())
    assert sorted(rows_of(batches)) == [0, 1, 2]
    assert all(batch.targets is None and batch.target_lengths is None for batch in batches)
    assert list(data.predict_examples) == [{"text": "the dog"}, {"text": "a cat"}, {"text": "the old cat sleeps"}]


def test_each_side_has_its_own_tokenizer(tmp_path: Path):
    data = pairs(tmp_path)
    data.setup("fit")
    assert "cat" in data.schema.tokens.tokenizer.vocabulary
    assert "cat" not in data.schema.target_tokens.tokenizer.vocabulary
    assert not data.schema.shares_vocabulary
    data = pairs(tmp_path, target_tokenizer="character")
    data.setup("fit")
    assert data.schema.tokens.tokenizer.kind == "word"
    assert data.schema.target_tokens.tokenizer.kind == "character"


def test_both_sides_may_share_one(tmp_path: Path):
    data = pairs(tmp_path, shared_vocabulary=True)
    data.setup("fit")
    assert data.schema.target_tokens is data.schema.tokens
    assert {"cat", "Katze"} <= data.schema.tokens.tokenizer.vocabulary.keys()
    again = Schema.from_record(data.schema.to_record())
    assert again == data.schema
    assert again.shares_vocabulary


def test_keeps_its_arguments_in_plain_types(tmp_path: Path):
    data = pairs(tmp_path, max_length_ratio=2.5)
    assert data.arguments["max_length_ratio"] == 2.5
    assert SequencePairs(**data.arguments).arguments == data.arguments


def test_two_paths_for_a_split(tmp_path: Path):
    begin = write(tmp_path, "x", PAIRS)
    given = {"path": f"{begin}.de", "target_path": f"{begin}.en"}
    data = SequencePairs("parallel", train=given, tokenizer="word")
    data.setup("fit")
    assert data.examples("train")[0] == {"text": "eine Katze", "target_text": "a cat"}


def test_fractions_part_the_training_pairs(tmp_path: Path):
    data = pairs(tmp_path, many(), validation_fraction=0.1, test_fraction=0.2)
    data.setup("fit")
    data.setup("test")
    assert [len(data.examples(split)) for split in ("train", "validation", "test")] == [148, 21, 42]


# Pairs that are left out


def test_pairs_that_are_too_long_or_uneven_are_left_out_of_training(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write(tmp_path, "train", PAIRS)
    data = pairs(tmp_path, train=path, validation=path, max_length=4, max_length_ratio=1.0)
    data.setup("fit")
    assert sorted(rows_of(data.train_dataloader())) == [0, 1, 2, 4]
    assert sorted(rows_of(data.val_dataloader())) == [0, 1, 2, 3, 4]
    assert "train: 1 of 5 pairs are left out: 1 longer than max_length: 4" in caplog.text
    assert len(caplog.records) == 1
    train, validation = data.statistics()
    assert train.dropped == {"longer than max_length: 4": 1}
    assert (train.rows, validation.rows, validation.dropped) == (4, 5, {})
    assert "pairs of train that are left out: 1 longer than max_length: 4" in data.describe()
    data = pairs(tmp_path, train=path, max_length_ratio=7)
    data.setup("fit")
    assert sorted(rows_of(data.train_dataloader())) == [0, 1, 2, 4], "8 tokens for 1"
    assert pairs_kept(tmp_path, max_length_ratio=8.0) == [0, 1, 2, 3, 4]
    assert pairs_kept(tmp_path, max_length=1) == [4], "the end token is not counted"


def pairs_kept(tmp_path: Path, **arguments: Any) -> list[int]:
    data = pairs(tmp_path, **arguments)
    data.setup("fit")
    return sorted(rows_of(data.train_dataloader()))


def test_a_pair_is_counted_for_one_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rows = [("a a a a a", "b"), ("", "b"), ("a", " "), ("a", "b"), ("a a a", "b")]
    path = table(tmp_path / "x.jsonl", rows)
    data = SequencePairs(
        TABLE, train=path, test=path, tokenizer="word", max_length=4, max_length_ratio=2.0, batch_size=2
    )
    data.setup()
    assert rows_of(data.train_dataloader()) == [3]
    assert sorted(rows_of(data.test_dataloader())) == [0, 1, 2, 3, 4]
    listed = "2 with an empty side, 1 longer than max_length: 4, 1 beyond max_length_ratio: 2.0"
    assert f"train: 4 of 5 pairs are left out: {listed}" in caplog.text
    lengths = {row: (int(batch.lengths[place]), int(batch.target_lengths[place])) for batch in data.test_dataloader()
               for place, row in enumerate(batch.rows.tolist())}  # fmt: skip
    assert (lengths[1], lengths[2]) == ((0, 2), (1, 1)), "an empty target is its end alone"


def test_nothing_left_to_train_on(tmp_path: Path):
    data = pairs(tmp_path, [("a b c", "d e f")] * 3, max_length=2)
    with pytest.raises(DataError, match=r"train: none of its 3 pairs can be trained on: 3 longer than max_length: 2"):
        data.setup("fit")


# Batches


@pytest.mark.parametrize("arguments", [{"batch_size": 7}, {"batch_size": 32, "max_tokens": 97}])
def test_every_kept_pair_is_trained_on_once_an_epoch(tmp_path: Path, arguments: dict[str, Any]):
    data = pairs(tmp_path, many(), max_length=12, **arguments)
    data.setup("fit")
    kept = data.encoded("train").kept
    assert 0 < len(kept) < 211
    loader = data.train_dataloader()
    orders = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        batches = list(loader)
        orders.append(rows_of(batches))
        assert sorted(orders[-1]) == kept.tolist()
        for batch in batches:
            steps = batch.inputs["ids"].numel() + batch.targets.numel()
            assert batch.size == 1 or steps <= arguments.get("max_tokens", 1e9)
    assert orders[0] != orders[1] != orders[2]


def test_goes_on_in_the_middle_of_an_epoch(tmp_path: Path):
    def loader() -> Any:
        data = pairs(tmp_path, many(), max_tokens=97, batch_size=32, max_length=12)
        data.setup("fit")
        return data.train_dataloader()

    first = loader()
    first.sampler.set_epoch(2)
    batches = iter(first)
    for _ in range(5):
        next(batches)
    state = first.state_dict()
    resumed = loader()
    resumed.load_state_dict(state)
    assert [batch.rows.tolist() for batch in resumed] == [batch.rows.tolist() for batch in batches]


def test_a_sentence_of_ten_thousand_words(tmp_path: Path):
    long = ("cat " * 10_000, "Katze " * 9_000)
    data = pairs(tmp_path, [*many(23), long], test=write(tmp_path, "test", [*PAIRS, long]), max_tokens=400)
    data.setup()
    alone = [batch for batch in data.train_dataloader() if 23 in batch.rows]
    assert [batch.size for batch in alone] == [1]
    assert tuple(alone[0].targets.shape) == (1, round_time(9_001))
    first = next(iter(data.test_dataloader()))
    assert first.lengths.tolist() == [10_000], "the longest first, so that it fails at once where memory is short"
    data = pairs(tmp_path, [*many(23), long], max_length=1_000)
    data.setup("fit")
    assert 23 not in rows_of(data.train_dataloader())


@pytest.mark.parametrize("tokenizer", ["bpe", "unigram", "character", "word"])
def test_characters_that_training_never_saw(tmp_path: Path, tokenizer: str):
    strange = [("猫 🙂 ж", "ネコ \u0301 ﬁ"), ("\u200b", "\ufeff")]
    spec: Any = {"name": tokenizer, "vocab_size": 290} if tokenizer in ("bpe", "unigram") else tokenizer
    data = pairs(tmp_path, tokenizer=spec, test=write(tmp_path, "test", strange))
    data.setup()
    target = data.schema.target_tokens.tokenizer
    for batch in data.test_dataloader():
        for place, row in enumerate(batch.rows.tolist()):
            ids = batch.targets[place, : batch.target_lengths[place]].tolist()
            assert ids[-1] == target.eos_id
            if tokenizer in ("bpe", "unigram"):
                assert target.decode(ids) == strange[row][1]
            else:
                assert target.unk_id in ids or len(ids) == 1
    test = data.statistics()[-1]
    assert (test.target.unknown_tokens > 0) == (tokenizer in ("character", "word"))


def test_padding_counts_both_sides(tmp_path: Path):
    data = pairs(tmp_path, many(), batch_size=7)
    data.setup("fit")
    real = padded = 0
    for batch in data.train_dataloader():
        real += int(batch.lengths.sum() + batch.target_lengths.sum())
        padded += batch.inputs["ids"].numel() + batch.targets.numel()
    (train,) = data.statistics()
    assert train.padding == pytest.approx(100 * (1 - real / padded))
    assert train.steps + train.target.steps == real


# Schemas of checkpoints


def checkpoint(path: Path, schema: Schema) -> str:
    record = {"format": 1, "network": {}, "model": {}, "schema": schema.to_record()}
    torch.save({"seqmodels": record, "state_dict": {"weight": torch.zeros(3)}}, path)
    return str(path)


@pytest.mark.parametrize("shared", [True, False])
def test_a_test_needs_no_training_data_with_a_checkpoint(tmp_path: Path, shared: bool):
    trained = pairs(tmp_path, shared_vocabulary=shared)
    trained.setup("fit")
    data = pairs(tmp_path, train="no/such/file", test=write(tmp_path, "test", PAIRS[:2]))
    data.use_checkpoint(checkpoint(tmp_path / "last.ckpt", trained.schema))
    data.setup("test")
    assert data.schema == trained.schema
    assert data.schema.shares_vocabulary == shared
    assert sorted(rows_of(data.test_dataloader())) == [0, 1]


def test_refuses_the_checkpoint_of_another_task(tmp_path: Path):
    (tmp_path / "x.txt").write_text("good film\nbad film\n")
    (tmp_path / "x.conll").write_text("a\tX\n\n")
    (tmp_path / "x.jsonl").write_text(json.dumps({"x": [[1.0], [2.0]], "y": "a"}) + "\n")
    others: list[tuple[Any, str, str]] = [
        ("label_text", "x.txt", "the model writes no text, so it was not trained on pairs of texts"),
        ("conll", "x.conll", "the model was trained on tokens, but the reader gives text"),
        ({"name": "jsonl", "features": "x", "label": "y"}, "x.jsonl", "trained on features, but the reader gives text"),
    ]
    for reader, name, message in others:
        other = LabelledSequences(reader, train=str(tmp_path / name))
        other.setup("fit")
        data = pairs(tmp_path)
        data.schema = other.schema
        with pytest.raises(CheckpointError, match=message):
            data.setup("fit")


def test_needs_training_data_or_a_checkpoint(tmp_path: Path):
    data = pairs(tmp_path, train=None, test=write(tmp_path, "test", PAIRS))
    with pytest.raises(ConfigurationError, match="built from training data or comes with a checkpoint"):
        data.setup("test")


def test_a_text_to_be_written_needs_an_end(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models

    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "x": 1}, unk_token="[UNK]"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]").save_pretrained(tmp_path / "t")
    data = pairs(tmp_path, target_tokenizer={"name": "pretrained", "path": str(tmp_path / "t")})
    with pytest.raises(ConfigurationError, match=r"needs a tokenizer with an end token \(eos\), .* target_tokenizer"):
        data.setup("fit")


def test_a_pretrained_target_has_one_end_and_no_beginning(tmp_path: Path, tiny_bert: Path):
    spec = {"name": "pretrained", "path": str(tiny_bert)}
    rows = [("the film", "was great"), ("so fine", "")]
    data = SequencePairs(TABLE, train=table(tmp_path / "x.jsonl", rows[:1]), predict="-", tokenizer=spec)
    data.setup("fit")
    tokenizer = data.schema.target_tokens.tokenizer
    encoded = data.schema.encode([{"text": source, "target_text": target} for source, target in rows])
    assert tokenizer.tokens(encoded.target_ids[0].tolist()) == ["was", "great", "[SEP]"]
    assert tokenizer.tokens(encoded.target_ids[1].tolist()) == ["[SEP]"]
    assert tokenizer.tokens(encoded.ids[0].tolist()) == ["[CLS]", "the", "film", "[SEP]"]


# Prediction


def test_predicts_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a cat\r\n\r\nsleep\r\n")))
    data = pairs(tmp_path)
    data.setup("predict")
    assert [example["text"] for example in data.predict_examples] == ["a cat", "", "sleep"]
    assert sorted(rows_of(data.predict_dataloader())) == [0, 1, 2]


def test_warns_of_texts_to_predict_in_another_language(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "x.txt").write_text("un chat dort\n" * 10)
    data = pairs(tmp_path, predict=str(tmp_path / "x.txt"))
    data.setup("predict")
    assert "predict: 100% of the 30 tokens are unknown to the model" in caplog.text


def test_a_reader_of_text_alone_serves_prediction(tmp_path: Path):
    trained = pairs(tmp_path)
    trained.setup("fit")
    data = pairs(tmp_path, reader="text", train=str(tmp_path / "train.en"), predict=str(tmp_path / "train.en"))
    data.schema = trained.schema
    data.setup("predict")
    assert sorted(rows_of(data.predict_dataloader())) == [0, 1, 2, 3, 4]
    with pytest.raises(ConfigurationError, match="train: the reader gives no target_text, so its texts can be predict"):
        data.setup("fit")
    data.schema = None
    with pytest.raises(ConfigurationError, match="train: the reader gives no target_text"):
        data.setup("fit")


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"max_length_ratio": 0.9}, "max_length_ratio must be at least 1, got 0.9"),
        ({"max_length_ratio": float("nan")}, "max_length_ratio must be at least 1, got nan"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"num_workers": -1}, "num_workers must be at least 0, got -1"),
        ({"tokenizer": "wrod"}, "unknown tokenizer 'wrod'"),
        ({"target_tokenizer": "wrod"}, "unknown tokenizer 'wrod'"),
        ({"target_tokenizer": "word", "shared_vocabulary": True}, "shared_vocabulary: true makes one tokenizer"),
        ({"reader": "conll"}, "a reader of text and target_text, but this one gives tokens and tags"),
        ({"reader": "label_text"}, "but this one gives text and label; such as reader: {name: parallel, source: en"),
        ({"train": {"path": ["a", "b"], "target_path": "c"}}, r"train: target_path belongs to one path, got \['a'"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit(tmp_path: Path, arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError, match=message):
        pairs(tmp_path, **arguments)


def test_pairs_have_no_labels(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"gives target_text, a text to be .*; use data: SequencePairs"):
        LabelledSequences(READER, train=write(tmp_path, "train", PAIRS))


def test_labels_are_not_for_a_model_that_writes(tmp_path: Path):
    trained = pairs(tmp_path)
    trained.setup("fit")
    (tmp_path / "x.txt").write_text("good film\n")
    data = LabelledSequences("label_text", train=str(tmp_path / "x.txt"))
    data.schema = trained.schema
    with pytest.raises(CheckpointError, match="the model writes a text for each that it reads; use data: SequencePair"):
        data.setup("fit")


def test_is_known_by_its_short_name():
    from seqmodels.cli.validation import SHIPPED
    from seqmodels.data.data_module import SequenceDataModule

    public = [getattr(seqmodels, name) for name in seqmodels.__all__]
    assert {one for one in public if isinstance(one, type) and issubclass(one, SequenceDataModule)} == set(SHIPPED)


@pytest.mark.skipif("SEQMODELS_DATA" not in os.environ, reason="SEQMODELS_DATA is not set")
def test_multi30k():
    folder = "$SEQMODELS_DATA/multi30k"
    data = SequencePairs(
        READER,
        train=f"{folder}/val",
        test=f"{folder}/test_2016_flickr",
        predict=f"{folder}/test_2017_flickr.en.gz",
        tokenizer={"name": "bpe", "vocab_size": 1_000},
        shared_vocabulary=True,
        max_tokens=2_048,
    )
    data.setup()
    assert [len(data.examples(split)) for split in ("train", "test", "predict")] == [1014, 1000, 1000]
    assert data.examples("train")[0] == {
        "text": "A group of men are loading cotton onto a truck",
        "target_text": "Eine Gruppe von Männern lädt Baumwolle auf einen Lastwagen",
    }
    tokenizer = data.schema.target_tokens.tokenizer
    for split, loader in (("train", data.train_dataloader()), ("test", data.test_dataloader())):
        examples = list(data.examples(split))
        for batch in loader:
            for place, row in enumerate(batch.rows.tolist()):
                ids = batch.targets[place, : batch.target_lengths[place]].tolist()
                assert tokenizer.decode(ids) == examples[row]["target_text"]
    assert data.statistics()[0].padding < 20
