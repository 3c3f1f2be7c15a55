"""The corpora of the standard library: the roles of tokens, the splits, and files of the user's own."""

from __future__ import annotations

import gzip
import keyword
from pathlib import Path

import pytest

from seqmodels.data.readers.python_roles import ROLES, tagged_lines
from seqmodels.data.readers.python_source import (
    PACKAGES,
    SPLITS,
    PythonClassification,
    PythonTagging,
    _files_of,
    _files_of_package,
    read_source,
)
from seqmodels.data.readers.python_tokens import logical_lines, shorten_string
from seqmodels.data.readers.reader import create_reader, read_examples
from seqmodels.errors import ConfigurationError, DataError


def roles_of(source: str) -> str:
    """Returns the last logical line as `token/role token/role`."""
    *_, (tokens, roles) = tagged_lines(source)
    return " ".join(f"{token.text}/{role}" for token, role in zip(tokens, roles, strict=True))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = f(y, z=1)", "x/variable_store =/assignment f/function_call (/call_bracket y/variable ,/argument_comma "
         "z/keyword_argument =/keyword_equals 1/number )/call_bracket"),
        ("a.b.c(d.e).f = -1", "a/variable ./dot b/attribute ./dot c/method_call (/call_bracket d/variable ./dot "
         "e/attribute )/call_bracket ./dot f/attribute_store =/assignment -/unary 1/number"),
        ("def f(a, *b, c: int = 3, **d) -> str: pass", "def/keyword f/function_definition (/parameter_bracket "
         "a/parameter ,/parameter_comma */variadic b/parameter ,/parameter_comma c/parameter :/annotation_colon "
         "int/annotation =/default_equals 3/number ,/parameter_comma **/variadic d/parameter )/parameter_bracket "
         "->/arrow str/annotation :/block_colon pass/keyword"),
        ("class A(b.C, metaclass=D): pass", "class/keyword A/class_definition (/base_bracket b/variable ./dot "
         "C/base_class ,/argument_comma metaclass/keyword_argument =/keyword_equals D/variable )/base_bracket "
         ":/block_colon pass/keyword"),
        ("class A:\n  def f(self): pass", "def/keyword f/method_definition (/parameter_bracket self/parameter "
         ")/parameter_bracket :/block_colon pass/keyword"),
        ("@a.b(c)\ndef f(): pass\n", "def/keyword f/function_definition (/parameter_bracket )/parameter_bracket "
         ":/block_colon pass/keyword"),
        ("from .a import b as c, d", "from/keyword ./dot a/module import/keyword b/imported_name as/keyword "
         "c/imported_name ,/element_comma d/imported_name"),
        ("from a import *", "from/keyword a/module import/keyword */imported_name"),
        ("import a.b as c", "import/keyword a/module ./dot b/module as/keyword c/imported_name"),
        ("[x for x in y if z]", "[/list_bracket x/variable for/comprehension x/variable_store in/comprehension "
         "y/variable if/comprehension z/variable ]/list_bracket"),
        ("for x in y[1:2]: pass", "for/keyword x/variable_store in/keyword y/variable [/index_bracket 1/number "
         ":/slice_colon 2/number ]/index_bracket :/block_colon pass/keyword"),
        ("{a: b, **c}, {d}", "{/dictionary_bracket a/variable :/dictionary_colon b/variable ,/element_comma "
         "**/unpack c/variable }/dictionary_bracket ,/element_comma {/set_bracket d/variable }/set_bracket"),
        ("(a if (b) else c)", "(/group_bracket a/variable if/conditional (/group_bracket b/variable )/group_bracket "
         "else/conditional c/variable )/group_bracket"),
        ("lambda x=1: x ** 2 / -y", "lambda/keyword x/parameter =/default_equals 1/number :/lambda_colon x/variable "
         "**/arithmetic 2/number //arithmetic -/unary y/variable"),
        ("a not in b is not c and not d", "a/variable not/comparison in/comparison b/variable is/comparison "
         "not/comparison c/variable and/logical not/logical d/variable"),
        ("x: int = ...", "x/variable_store :/annotation_colon int/annotation =/assignment .../constant"),
        ("def f():\n  '''doc'''", "'''…'''/docstring"),
        ("'text'\nx += f'{y!r:>{z}}' 'b'", "x/variable_store +=/assignment f'…'/string '…'/string"),
        ("é.ß(ü, ö=ä)", "é/variable ./dot ß/method_call (/call_bracket ü/variable ,/argument_comma "
         "ö/keyword_argument =/keyword_equals ä/variable )/call_bracket"),
        ("def f():\n  global x, y", "global/keyword x/declaration ,/element_comma y/declaration"),
    ],
)  # fmt: skip
def test_roles(source: str, expected: str) -> None:
    assert roles_of(source) == expected


def test_roles_of_an_exception_handler_and_of_a_decorator() -> None:
    lines = list(tagged_lines("try: pass\nexcept (A, b.C) as e:\n  @d.e(f)\n  def g(): pass\n"))
    assert " ".join(lines[1][1]) == (
        "keyword group_bracket exception_type element_comma variable dot exception_type group_bracket keyword "
        "variable_store block_colon"
    )
    assert lines[2][1] == ["decorator", "variable", "dot", "decorator", "call_bracket", "variable", "call_bracket"]


def test_names_bound_by_a_pattern() -> None:
    assert roles_of("match a:\n case B(c=d): pass") == (
        "case/keyword B/variable (/call_bracket c/keyword_argument =/keyword_equals d/variable_store )/call_bracket "
        ":/block_colon pass/keyword"
    )


@pytest.mark.parametrize(
    ("text", "short"),
    [("'abc'", "'…'"), ("''", "''"), ('rb"""a\nb"""', 'rb"""…"""'), ('""""""', '""""""'), ("F'{x}'", "F'…'")],
)
def test_contents_of_strings_are_left_out(text: str, short: str) -> None:
    assert shorten_string(text) == short


def test_lines_that_need_not_parse_divide_into_tokens() -> None:
    lines = list(logical_lines("x = = 1  # note\nif y:\n    f('a'\n      'b')\n"))
    assert [[token.text for token in line] for line in lines] == [
        ["x", "=", "=", "1"],
        ["if", "y", ":"],
        ["f", "(", "'…'", "'…'", ")"],
    ]


@pytest.fixture(scope="module")
def tagged() -> dict[str, list]:
    reader = PythonTagging(lines=1_009)
    return {split: list(read_examples(reader, split)) for split in SPLITS}


def test_tagging_splits_are_deterministic_and_share_no_file(tagged: dict[str, list]) -> None:
    files = {split: {example["id"].rsplit(":", 1)[0] for example in tagged[split]} for split in SPLITS}
    assert (
        not files["train"] & files["validation"] | files["train"] & files["test"] | files["validation"] & files["test"]
    )
    assert list(read_examples(PythonTagging(lines=1_009), "test")) == tagged["test"]
    assert len(tagged["train"]) == 1_009
    assert len(tagged["test"]) == 126


def test_tagging_is_more_than_knowing_the_words(tagged: dict[str, list]) -> None:
    pairs = [pair for example in tagged["train"] for pair in zip(example["tokens"], example["tags"], strict=True)]
    most = max(sum(tag == known for _, tag in pairs) for known in {tag for _, tag in pairs})
    assert most / len(pairs) < 0.25
    assert {tag for _, tag in pairs} <= set(ROLES)
    assert len({tag for token, tag in pairs if token == "("}) >= 3


def test_a_soft_keyword_is_the_only_identifier_that_the_tree_does_not_know() -> None:
    unknown = set()
    for _, path in list(_files_of("test")):
        for tokens, roles in tagged_lines(read_source(path)):
            unknown |= {token.text for token, role in zip(tokens, roles, strict=True) if role == "keyword"}
    assert {word for word in unknown if not keyword.iskeyword(word)} <= set(keyword.softkwlist)


def test_classification_splits_hold_every_package_and_share_no_file() -> None:
    reader = PythonClassification(functions=41)
    labels, files = {}, {}
    for split in SPLITS:
        examples = list(read_examples(reader, split))
        labels[split] = [example["label"] for example in examples]
        files[split] = {example["id"].rsplit(":", 1)[0] for example in examples}
        assert all("\n" in example["text"] and "def " in example["text"] for example in examples)
    assert set(labels["train"]) == set(labels["validation"]) == set(labels["test"]) == set(PACKAGES)
    assert len(set.union(*files.values())) == sum(map(len, files.values())) > 20
    assert max(map(labels["train"].count, PACKAGES)) == 41


def test_every_file_of_a_package_is_in_one_split() -> None:
    names = [name for split in SPLITS for name, _ in _files_of_package("email", split)]
    assert len(names) == len(set(names)) > 10


def test_functions_of_a_file_come_without_docstring_and_indentation(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text('class A:\n  @b\n  def f(self):\n    """Doc.\n\n    More."""\n    return 1\n\nx = 2\n')
    (example,) = read_examples(PythonClassification(), path, targets=False)
    assert example == {"id": f"{path}:3", "text": "def f(self):\n  return 1"}


def test_own_file_is_tagged_with_and_without_targets(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_bytes("# coding: latin-1\r\né = 1\r\n".encode("latin-1"))
    reader = create_reader("python_tagging")
    assert list(read_examples(reader, path)) == [
        {"id": f"{path}:2", "tokens": ["é", "=", "1"], "tags": ["variable_store", "assignment", "number"]}
    ]
    assert list(read_examples(reader, path, targets=False)) == [{"id": f"{path}:2", "tokens": ["é", "=", "1"]}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x = 1\ny = = 2\n", r"own\.py:2: expected Python source, found: invalid syntax"),
        (b"x = 1\ny = '\xff'\n", r"own\.py:2: byte 0xff is not utf-8; declare the encoding"),
        (b"# coding: klingon\n", r"own\.py: cannot be read: unknown encoding"),
        (b"# only a comment\n", r"own\.py: holds no examples"),
    ],
)
def test_faulty_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "own.py"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_examples(PythonTagging(), path))


def test_a_damaged_gzip_file(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(b"x = 1\n"))
    raw[10] |= 0b110  # a kind of block that there is not
    (tmp_path / "own.py.gz").write_bytes(raw)
    with pytest.raises(DataError, match=r"own\.py\.gz: cannot be read: Error -3 while decompressing"):
        list(read_examples(PythonTagging(), tmp_path / "own.py.gz"))


def test_open_bracket_without_targets(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("x = 1\ny = (2\n")
    with pytest.raises(DataError, match=r"own\.py:\d: expected Python source, found: .*EOF"):
        list(read_examples(PythonTagging(), path, targets=False))


def test_unparsable_file_for_classification(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("def f(:\n")
    with pytest.raises(DataError, match=r"own\.py:1: expected Python source"):
        list(read_examples(PythonClassification(), path, targets=False))


def test_classification_of_a_file_has_no_targets(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("def f():\n  pass\n")
    with pytest.raises(DataError, match="for training and testing give one of train, validation, test"):
        list(read_examples(PythonClassification(), path))


def test_missing_file_names_the_splits() -> None:
    with pytest.raises(DataError, match="takes one of train, validation, test"):
        list(read_examples(PythonTagging(), "tests/no_such_split"))


def test_python_without_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.__file__", str(tmp_path / "os.pyc"))
    with pytest.raises(DataError, match="came without its library's sources"):
        list(read_examples(PythonTagging(), "train"))


@pytest.mark.parametrize("name", ["lines", "max_tokens"])
def test_tagging_sizes_are_positive(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"python_tagging: {name} must be a positive integer, got 0"):
        PythonTagging(**{name: 0})


@pytest.mark.parametrize("name", ["functions", "max_characters"])
def test_classification_sizes_are_positive(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"python_classification: {name} must be a positive integer, got 0"):
        PythonClassification(**{name: 0})
