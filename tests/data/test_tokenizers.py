"""Tokenizers: every recipe keeps the same promises; each its own details; records, errors."""

from __future__ import annotations

import pickle
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqmodels.data import tokenizers as module
from seqmodels.data.tokenizer_training import list_tokenizers, tokenizer_registry, train_tokenizer
from seqmodels.data.tokenizers import SPECIAL_TOKENS, Tokenizer, slices
from seqmodels.errors import CheckpointError, ConfigurationError, DataError

TEXTS = [
    "The cat's on the mat, isn't it?!  3.14 and 1,000 mp3s…",
    "Été à la plage :-) the cat <unk> the mat",
    " leading and trailing \n\t x  y ",
    "日本語 テスト हिन्दी ﷺ İstanbul",
    "",
]
WORDS = [["The", "cat", "sat"], [], ["cat", "<unk>", "'s", "Ünïcödé", "x y"], ["the", "", "cat"]]
STRANGE = "zz ж\x00\ud7ff <pad> </s><s> a<pad>b ▁ 🙂"

RECIPES = [
    {"name": "word"},
    {"name": "word", "lowercase": True, "normalize_digits": True},
    {"name": "word", "split": "whitespace", "min_count": 2},
    {"name": "character"},
    {"name": "character", "lowercase": True},
    {"name": "bpe", "vocab_size": 300},
    {"name": "bpe", "vocab_size": 300, "lowercase": True},
    {"name": "unigram", "vocab_size": 300},
    {"name": "word", "normalization": "nfkc"},
    {"name": "word", "normalization": "nfc", "lowercase": True},
    {"name": "character", "normalization": "nfkc"},
    {"name": "bpe", "vocab_size": 300, "normalization": "nfc"},
    {"name": "unigram", "vocab_size": 300, "normalization": "nfkc", "lowercase": True},
]
every_recipe = pytest.mark.parametrize("spec", RECIPES, ids=str)


def save_pretrained(folder, *, add_prefix_space: bool = True, **special: str) -> str:
    """Saves a byte-level tokenizer with [CLS] and [SEP] as transformers does, with truncation to be undone."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    backend = train_tokenizer({"name": "bpe", "vocab_size": 290}, texts=TEXTS)._backend
    pre_tokenizer = type(backend.pre_tokenizer)
    backend.pre_tokenizer = pre_tokenizer(add_prefix_space=add_prefix_space)
    backend.add_special_tokens(["[CLS]", "[SEP]"])
    pairs = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=pairs)
    backend.enable_truncation(5)
    PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(folder)
    return str(folder)


SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def test_every_recipe_is_tested():
    own = {name for name in list_tokenizers() if tokenizer_registry.get(name).__module__.startswith("seqmodels.")}
    assert {spec["name"] for spec in RECIPES} | {"pretrained"} == own


@every_recipe
@pytest.mark.parametrize("corpus", ["texts", "words"])
def test_special_tokens_come_first(spec, corpus):
    tokenizer = train_tokenizer(spec, texts=TEXTS) if corpus == "texts" else train_tokenizer(spec, words=WORDS)
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2, 3)
    assert tokenizer.tokens(range(4)) == list(SPECIAL_TOKENS)
    assert len(tokenizer.vocabulary) == tokenizer.vocab_size
    assert all(tokenizer.id_of(token) == id for token, id in tokenizer.vocabulary.items())
    assert tokenizer.id_of("no such token") is None


@every_recipe
def test_nothing_is_unknown_to_the_point_of_failing(spec):
    tokenizer = train_tokenizer(spec, texts=TEXTS)
    empty, strange = tokenizer.encode_texts(["", STRANGE])
    assert empty == []
    assert strange
    assert all(id == tokenizer.unk_id or 4 <= id < tokenizer.vocab_size for id in strange)
    ids, _ = tokenizer.encode_words([[], STRANGE.split(" ")])
    assert ids[0] == []
    assert all(id == tokenizer.unk_id or 4 <= id < tokenizer.vocab_size for id in ids[1])
    assert "<unk>" in tokenizer.tokens([tokenizer.vocab_size + 7])


@every_recipe
def test_the_name_of_a_special_token_is_not_the_token(spec):
    tokenizer = train_tokenizer(spec, words=[["<pad>", "</s>", "<s>", "<unk>", "cat"]] * 20)
    ids, _ = tokenizer.encode_words([["<pad>", "</s>", "<s>"]])
    assert not {0, 2, 3} & {*ids[0], *tokenizer.encode_texts(["<pad> </s> <s>"])[0]}


@every_recipe
def test_a_record_makes_the_same_tokenizer(spec):
    tokenizer = train_tokenizer(spec, texts=TEXTS)
    for copy in (Tokenizer.from_record(tokenizer.to_record()), pickle.loads(pickle.dumps(tokenizer))):
        assert copy == tokenizer
        assert copy.encode_texts([*TEXTS, STRANGE]) == tokenizer.encode_texts([*TEXTS, STRANGE])
        assert copy.encode_words(WORDS) == tokenizer.encode_words(WORDS)
    assert all(value is None or type(value) in (str, int, bool) for value in tokenizer.to_record().values())
    assert tokenizer.kind in repr(tokenizer)


@every_recipe
def test_words_are_kept_word_for_word(spec):
    tokenizer = train_tokenizer(spec, words=WORDS)
    ids, starts = tokenizer.encode_words(WORDS)
    if tokenizer.kind == "word":
        assert starts is None
        assert [len(row) for row in ids] == [len(row) for row in WORDS]
        return
    for row, row_ids, row_starts in zip(WORDS, ids, starts, strict=True):
        assert len(row_starts) == len(row)
        assert row_starts == sorted(set(row_starts))  # each word has a piece of its own
        ends = [*row_starts, len(row_ids)][1:]
        for word, begin, end in zip(row, row_starts, ends, strict=True):
            decoded = tokenizer.decode(row_ids[begin:end]).strip()
            wanted = (word.lower() if spec.get("lowercase") else word) or "<unk>"
            wanted = unicodedata.normalize(spec.get("normalization", "nfc").upper(), wanted)
            assert decoded == wanted


@pytest.mark.parametrize(
    "spec", ["character", {"name": "bpe", "vocab_size": 300}, {"name": "unigram", "vocab_size": 300}]
)
def test_decoding_is_exact(spec):
    tokenizer = train_tokenizer(spec, texts=TEXTS)
    assert [tokenizer.decode(ids) for ids in tokenizer.encode_texts(TEXTS)] == TEXTS
    (ids,), _ = tokenizer.encode_words([["The", "cat", "sat"]])
    assert tokenizer.decode([2, *ids, 3, 0, 0]) == "The cat sat"


@pytest.mark.parametrize("name", ["bpe", "unigram"])
def test_pieces_decode_exactly_what_training_never_saw(name):
    tokenizer = train_tokenizer({"name": name, "vocab_size": 260}, texts=["a"])
    assert tokenizer.decode(tokenizer.encode_texts([STRANGE])[0]) == STRANGE


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_split_gives_one_word_for_each_id(text):
    for tokenizer in SPLITTERS:
        (ids,), (words,) = tokenizer.encode_texts([text]), tokenizer.split([text])
        assert tokenizer.encode_words([words])[0] == [ids]


SPLITTERS = [train_tokenizer(spec, texts=TEXTS) for spec in RECIPES if spec["name"] == "word"]


EXACT = [
    train_tokenizer(spec, texts=TEXTS)
    for spec in ({"name": "bpe", "vocab_size": 310}, {"name": "unigram", "vocab_size": 310})
]
BY_CHARACTER = train_tokenizer("character", texts=TEXTS)
KNOWN = "".join(sorted({character for text in TEXTS for character in text}))


@settings(max_examples=200, deadline=None)
@given(st.text() | st.text(alphabet=" \t\n\u00a0e\u0301é🙂👩\u200d👩\ufe0fﬁ<pad>▁Ġ") | st.sampled_from(TEXTS))
def test_decoding_gives_back_any_text(text):
    for tokenizer in EXACT:
        assert tokenizer.decode(tokenizer.encode_texts([text])[0]) == text
        assert tokenizer.decode([*tokenizer.encode_texts([text], special=False)[0], tokenizer.eos_id]) == text
    assert len(BY_CHARACTER.encode_texts([text])[0]) == len(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=KNOWN))
def test_characters_give_back_any_text_of_those_that_training_had(text):
    assert BY_CHARACTER.decode(BY_CHARACTER.encode_texts([text])[0]) == text


NORMALIZING = {
    form: [
        train_tokenizer({**spec, "normalization": form}, texts=TEXTS)
        for spec in ({"name": "word"}, {"name": "character"}, {"name": "bpe", "vocab_size": 300})
    ]
    for form in ("nfc", "nfkc")
}


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="e\u0301éﬁＡ①½ {}\u200b"))  # old characters, of which every version of Unicode knows the form
def test_normalization_is_that_of_unicode(text):
    for form, tokenizers in NORMALIZING.items():
        normal = unicodedata.normalize(form.upper(), text)
        for tokenizer in tokenizers:
            ids, ids_of_normal = tokenizer.encode_texts([text, normal])
            assert ids == ids_of_normal
        assert tokenizer.decode(ids) == normal, "the last is of bytes"


@every_recipe
def test_a_long_text_is_encoded_by_parts_as_it_is_whole(spec, monkeypatch):
    text = "\n".join([*TEXTS, STRANGE.replace("\x00", "")]) * 30
    tokenizer = train_tokenizer(spec, texts=[text])
    whole = tokenizer.encode_texts([text, "cat"])
    monkeypatch.setattr(module, "LONG_TEXT", 17)
    assert len(list(slices(text))) > 20
    assert "".join(slices(text)) == text
    assert tokenizer.encode_texts([text, "cat"]) == whole
    if spec["name"] != "unigram":  # whose training is a little different each time
        assert train_tokenizer(spec, texts=[text]).vocabulary == tokenizer.vocabulary


def test_a_text_without_a_place_to_cut_stays_whole(monkeypatch):
    monkeypatch.setattr(module, "LONG_TEXT", 5)
    assert list(slices("unbroken  double\n\nlines")) == ["unbroken  double\n\nlines"]
    assert list(slices("")) == [""]


@pytest.mark.parametrize("spec", [spec for spec in RECIPES if spec["name"] == "character"], ids=str)
def test_characters_are_those_of_the_backend(spec):
    tokenizer = train_tokenizer(spec, texts=TEXTS)
    texts = [*TEXTS, STRANGE, "ǅ ſ İI\u0307 ﬃ e\u0301 Σς"]
    encodings = tokenizer._backend.encode_batch(texts, add_special_tokens=False)
    assert tokenizer.encode_texts(texts) == [encoding.ids for encoding in encodings]


@pytest.mark.parametrize("spec", ["word", "character"])
def test_what_is_no_text_is_refused(spec):
    with pytest.raises(DataError, match="text 2: expected a text, got int"):
        train_tokenizer(spec, texts=TEXTS).encode_texts(["a", 5])


@pytest.mark.parametrize("spec", ["word", "character"])
def test_half_characters_are_refused(spec):
    with pytest.raises(DataError, match=r"text 2: expected Unicode, found the half character '\\ud800' at place 3"):
        train_tokenizer(spec, texts=TEXTS).encode_texts(["a", "ab\ud800"])


def test_a_letter_and_its_accent_are_two_characters_or_one():
    split, joined = "e\u0301", "é"
    exact = train_tokenizer("character", texts=[split])
    assert exact.tokens(exact.encode_texts([split])[0]) == ["e", "\u0301"]
    folded = train_tokenizer({"name": "character", "normalization": "nfc"}, texts=[split])
    assert set(folded.vocabulary) == {*SPECIAL_TOKENS, joined}
    words = train_tokenizer({"name": "word", "normalization": "nfkc"}, texts=["ﬁne"])
    assert words.encode_texts(["fine", "ﬁne"]) == words.encode_words([["ﬁne"], ["fine"]])[0] == [[4], [4]]
    assert words.split(["ﬁne"]) == [["fine"]]


def test_punctuation_is_cut_off():
    tokenizer = train_tokenizer("word", texts=TEXTS)
    assert tokenizer.split([TEXTS[0]]) == [
        ["The", "cat", "'s", "on", "the", "mat", ",", "isn", "'t", "it", "?", "!", "3.14", "and", "1,000", "mp3s", "…"]
    ]
    assert tokenizer.decode(tokenizer.encode_texts(["the  cat, 3.14"])[0]) == "the cat , 3.14"


def test_words_are_ordered_by_count_then_alphabet():
    tokenizer = train_tokenizer({"name": "word", "split": "whitespace", "max_size": 3}, texts=["b a b", "c d a b"])
    assert tokenizer.tokens(range(4, tokenizer.vocab_size)) == ["b", "a", "c"]
    tokenizer = train_tokenizer({"name": "word", "min_count": 2}, words=[["b", "a", "b"], ["c", "a"]])
    assert tokenizer.tokens(range(4, tokenizer.vocab_size)) == ["a", "b"]


def test_case_and_digits_are_folded_but_split_keeps_them():
    tokenizer = train_tokenizer({"name": "word", "lowercase": True, "normalize_digits": True}, texts=["In 1987 in"])
    assert tokenizer.tokens(range(4, tokenizer.vocab_size)) == ["in", "0000"]
    assert tokenizer.encode_texts(["IN 2026"]) == tokenizer.encode_words([["iN", "1999"]])[0] == [[4, 5]]
    assert tokenizer.split(["IN 2026"]) == [["IN", "2026"]]


def test_pretrained_keeps_its_own_special_tokens(tmp_path):
    tokenizer = train_tokenizer({"name": "pretrained", "path": save_pretrained(tmp_path, **SPECIAL)}, texts=[])
    cls, sep = tokenizer.id_of("[CLS]"), tokenizer.id_of("[SEP]")
    (ids,) = tokenizer.encode_texts(["the cat sat on the mat"])
    assert (ids[0], ids[-1]) == (tokenizer.bos_id, tokenizer.eos_id) == (cls, sep)
    assert len(ids) > 5  # not truncated
    assert tokenizer.decode(ids).strip() == "the cat sat on the mat"
    (row,), (starts,) = tokenizer.encode_words([["", "cats", "", "xyz", ""]])
    assert (row[0], row[-1]) == (cls, sep)
    assert len(starts) == 5
    assert [row[starts[index]] == tokenizer.unk_id for index in range(5)] == [True, False, True, False, True]
    assert Tokenizer.from_record(tokenizer.to_record()) == tokenizer
    assert tokenizer.vocab_size == 1 + max(tokenizer.vocabulary.values())


def test_pretrained_leaves_its_special_tokens_out_where_told(tmp_path):
    tokenizer = train_tokenizer({"name": "pretrained", "path": save_pretrained(tmp_path, **SPECIAL)}, texts=[])
    (whole,), (bare,) = tokenizer.encode_texts(["the cat"]), tokenizer.encode_texts(["the cat"], special=False)
    assert whole == [tokenizer.bos_id, *bare, tokenizer.eos_id]


def test_pretrained_leaves_its_special_tokens_out_of_words_where_told(tmp_path):
    tokenizer = train_tokenizer({"name": "pretrained", "path": save_pretrained(tmp_path, **SPECIAL)}, texts=TEXTS)
    (framed,), (starts,) = tokenizer.encode_words([["the", "cat"]])
    (plain,), (plain_starts,) = tokenizer.encode_words([["the", "cat"]], special=False)
    assert framed[1:-1] == plain
    assert [start - 1 for start in starts] == plain_starts


def test_pretrained_that_knows_a_space_before_a_word_sees_one(tmp_path):
    path = save_pretrained(tmp_path, add_prefix_space=False, **SPECIAL)
    tokenizer = train_tokenizer({"name": "pretrained", "path": path}, words=[])
    assert tokenizer.encode_words([["the", "cat", "sat"]])[0] == tokenizer.encode_texts(["the cat sat"])


def test_pretrained_without_padding_pads_with_its_end(tmp_path):
    path = save_pretrained(tmp_path, eos_token="[SEP]")
    tokenizer = train_tokenizer({"name": "pretrained", "path": path}, texts=[])
    assert tokenizer.pad_id == tokenizer.eos_id == tokenizer.id_of("[SEP]")


def test_loading_needs_no_transformers(tmp_path):
    code = (
        "import sys; from seqmodels.data.tokenizer_training import train_tokenizer;"
        "train_tokenizer('word', texts=['a']); sys.exit('transformers' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "word", "min_count": 0}, "tokenizer 'word': min_count must be at least 1, got 0"),
        ({"name": "word", "max_size": 0}, "max_size must be at least 1"),
        (
            {"name": "word", "split": "spaces"},
            "split must be one of punctuation, whitespace, got 'spaces' .did you mean 'whitespace'",
        ),
        ({"name": "character", "min_count": 0}, "tokenizer 'character': min_count"),
        ({"name": "bpe", "vocab_size": 259}, "vocab_size must be at least 260: the four special tokens"),
        ({"name": "bpe", "min_count": 0}, "tokenizer 'bpe': min_count"),
        ({"name": "unigram", "vocab_size": 3}, "tokenizer 'unigram': vocab_size must be at least 260"),
        ({"name": "word", "min_count": "two"}, "tokenizer 'word': min_count must be a whole number, got 'two'"),
        ({"name": "bpe", "normalization": "nfd"}, "normalization must be .*nfc"),
        ({"name": "wrod"}, r"unknown tokenizer 'wrod'.*did you mean 'word'"),
        ({"name": "word", "lower_case": True}, r"did you mean 'lowercase'"),
    ],
)
def test_options_out_of_range_are_refused(spec, message):
    with pytest.raises(ConfigurationError, match=message):
        train_tokenizer(spec, texts=TEXTS)


@every_recipe
@pytest.mark.parametrize("corpus", [{"texts": ["", ""]}, {"words": []}, {"words": [[], []]}])
def test_an_empty_corpus_is_refused(spec, corpus):
    with pytest.raises(DataError, match=f"tokenizer '{spec['name']}': the training data holds no"):
        train_tokenizer(spec, **corpus)


@pytest.mark.parametrize("corpus", [{}, {"texts": ["a"], "words": [["a"]]}])
def test_exactly_one_corpus_is_wanted(corpus):
    with pytest.raises(ConfigurationError, match="exactly one of texts and words"):
        train_tokenizer("word", **corpus)


def test_pretrained_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot load .* as a local folder or from the hub"):
        train_tokenizer({"name": "pretrained", "path": str(tmp_path)}, texts=[])


def test_pretrained_without_a_fast_form_is_refused(tmp_path, monkeypatch):
    import transformers

    class Slow:
        is_fast = False

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda path: Slow())
    with pytest.raises(ConfigurationError, match=r"has no fast tokenizer .*Slow"):
        tokenizer_registry.create({"name": "pretrained", "path": "x"}).train(None, None)


def test_pretrained_without_transformers_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'seqmodels\[pretrained\]'"):
        train_tokenizer({"name": "pretrained", "path": "x"}, texts=[])


@pytest.mark.parametrize("record", [{}, {"kind": "word", "json": "{"}, {"kind": "word"}])
def test_a_damaged_record_is_refused(record):
    with pytest.raises(CheckpointError, match="the stored tokenizer cannot be read"):
        Tokenizer.from_record(record)
