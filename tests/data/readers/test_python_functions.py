"""The functions of the standard library: that their text is what they were, at the margin and in four spaces."""

from __future__ import annotations

import argparse
import ast
import asyncio.base_events
import inspect
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from seqmodels.data.readers import PythonFunctions, create_reader, read_examples
from seqmodels.data.readers.python_functions import function_text, outermost_functions
from seqmodels.errors import ConfigurationError, DataError


def read(path: str | Path, **arguments: Any) -> list[str]:
    return [example["text"] for example in read_examples(PythonFunctions(**arguments), path)]


@pytest.mark.parametrize("module", [argparse, asyncio.base_events, inspect, textwrap])
@pytest.mark.parametrize("indent", ["    ", "  ", "\t"])
def test_a_text_parses_to_what_the_function_was(module: ModuleType, indent: str) -> None:
    source = inspect.getsource(module)
    if indent != "    ":
        source = ast.unparse(ast.parse(source)).replace("    ", indent)
    functions = list(outermost_functions(ast.parse(source)))
    assert len(functions) > 10
    for function in functions:
        text = function_text(function, source.split("\n"), docstring=False)
        function.decorator_list = []
        if ast.get_docstring(function, clean=False) is not None:
            function.body = function.body[1:]
        assert text is not None or not function.body
        if text is not None:
            (found,) = ast.parse(text).body
            assert ast.dump(found) == ast.dump(function)
            lines = text.split("\n")
            statements = [node for node in ast.walk(found) if isinstance(node, ast.stmt)]
            own = [node for node in statements if not lines[node.lineno - 1][: node.col_offset].strip()]
            assert {node.col_offset % 4 for node in own} == {0}


def test_splits_are_deterministic_and_share_no_file() -> None:
    found = {split: list(read_examples(PythonFunctions(max_characters=307), split)) for split in ("validation", "test")}
    files = {split: {example["id"].rsplit(":", 1)[0] for example in found[split]} for split in found}
    assert len(set.union(*files.values())) == sum(map(len, files.values()))
    assert found["test"] == list(read_examples(PythonFunctions(max_characters=307), "test"))
    for examples in found.values():
        texts = [example["text"] for example in examples]
        assert len(set(texts)) == len(texts) > 300
        assert max(map(len, texts)) <= 307
        assert all(text.startswith(("def ", "async def ")) and text == text.rstrip() for text in texts)


SOURCE = '''\
class A:
  @b
  def f(self,
        x="""y
  z """):  \n    """Doc.

        More.
    """

    if x:
      # why  \n      return ("a"
              "b")
    else:
      return """c  \n d"""

def g():
    "Doc."
def h(): "Doc."; return 1
async def i():
    def j():
        "Doc."
    return j
'''
F = '''\
def f(self,
      x="""y
  z """):
    if x:
        # why
        return ("a"
                "b")
    else:
        return """c  \n d"""'''


def test_layout(write: Any) -> None:
    path = write("own.py", SOURCE)
    h = 'def h(): "Doc."; return 1'
    i = 'async def i():\n    def j():\n        "Doc."\n    return j'
    assert read(path) == [F, h, i]
    documented = F.replace("    if x:", '    """Doc.\n\n        More.\n    """\n\n    if x:')
    assert read(path, docstrings=True, max_characters=1) == [documented, 'def g():\n    "Doc."', h, i]
    assert [example["id"] for example in read_examples(PythonFunctions(), path)] == [
        f"{path}:{line}" for line in (3, 21, 22)
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"def f(:\n", r"own\.py:1: expected Python source"), (b"x = 1\n", r"own\.py: holds no examples")],
)
def test_faulty_file(write: Any, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write("own.py", content))


def test_missing_file_names_the_splits() -> None:
    with pytest.raises(DataError, match="takes one of train, validation, test"):
        read("tests/no_such_split")


def test_sizes_are_positive() -> None:
    with pytest.raises(ConfigurationError, match="python_functions: max_characters must be a positive integer, got 0"):
        create_reader({"name": "python_functions", "max_characters": 0})
