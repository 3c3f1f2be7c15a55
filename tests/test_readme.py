"""What the README shows is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import seqmodels
from seqmodels.data.readers import list_readers
from seqmodels.encoders import list_encoders

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_custom_encoder_is_the_one_that_the_tests_train():
    leaky = (ROOT / "tests" / "examples" / "leaky_package" / "leaky.py").read_text(encoding="utf-8")
    assert leaky in blocks("python")


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_yaml_block_has_keys_that_the_command_line_knows(block, tmp_path):
    from seqmodels.cli.arguments import take_apart
    from seqmodels.cli.validation import check_keys

    path = tmp_path / "config.yaml"
    path.write_text(block)
    check_keys(take_apart("fit", ["--config", str(path)]), None)
    assert yaml.safe_load(block)["model"]["class_path"] in dir(seqmodels)


@pytest.mark.parametrize("name", [*list_encoders(), *list_readers()])
def test_every_encoder_and_reader_is_named(name):
    assert f"`{name}`" in README or name.startswith("python_") or name == "leaky"


def test_every_config_and_script_that_it_names_is_there():
    named = set(re.findall(r"(?:configs|scripts)/[\w/]+\.(?:yaml|py)", README))
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]
