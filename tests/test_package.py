"""`import seqmodels`: costs nothing, and gives every public name when it is asked for."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import seqmodels

HEAVY = "{'torch', 'numpy', 'lightning', 'torchmetrics', 'datasets', 'transformers', 'tokenizers'}"


def after(statement: str) -> str:
    """Returns which heavy packages a fresh process has imported after a statement."""
    code = f"import sys; {statement}; print(sorted({HEAVY} & set(sys.modules)))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_import_brings_nothing_heavy_along() -> None:
    assert after("import seqmodels") == "[]"


def test_loading_needs_no_lightning() -> None:
    assert "lightning" not in after("from seqmodels import load, create_encoder")


@pytest.mark.parametrize("name", seqmodels.__all__)
def test_public_names_resolve(name: str) -> None:
    assert getattr(seqmodels, name).__module__.startswith("seqmodels.")
    assert name in dir(seqmodels)


def test_all_is_what_can_be_had() -> None:
    assert sorted(seqmodels._HOME_OF) == seqmodels.__all__


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'seqmodels' has no attribute 'laod'"):
        seqmodels.laod  # noqa: B018


def test_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", seqmodels.__version__)
