"""What a checkpoint holds, what loading it refuses, and what it needs no import of."""

from __future__ import annotations

import functools
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import seqmodels
from seqmodels.checkpoint_file import FORMAT, read_record
from seqmodels.errors import CheckpointError, ConfigurationError
from seqmodels.inference.checkpoint import build_network, check_registered
from seqmodels.inference.plugins import import_plugins, loaded_plugins


def changed(path, target, change):
    contents = torch.load(path, weights_only=True)
    change(contents["seqmodels"])
    torch.save(contents, target)
    return target


def test_a_checkpoint_holds_plain_types(toy, tmp_path):
    task = toy.task("tags", optimizer=functools.partial(torch.optim.AdamW, lr=0.01, betas=(0.5, 0.9)), crf=True)
    paths = {split: toy.folder / f"{split}.conll" for split in ("train", "validation")}
    data = seqmodels.LabelledSequences("conll", **paths, batch_size=5)
    trainer, _, _ = toy.fit("tags", task=task, data=data)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    record = torch.load(tmp_path / "model.ckpt", weights_only=True)["seqmodels"]
    assert set(record) == {"format", "network", "schema", "model", "data", "plugins"}
    assert record["format"] == FORMAT
    assert record["data"]["init_args"]["train"] == str(paths["train"])
    assert record["model"]["init_args"]["optimizer"]["init_args"] == {"lr": 0.01, "betas": [0.5, 0.9]}
    assert_plain(record)


def assert_plain(value):
    if isinstance(value, dict):
        for key, part in value.items():
            assert type(key) is str
            assert_plain(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            assert_plain(part)
    else:
        assert value is None or type(value) in (str, int, float, bool)


def test_loading_needs_neither_lightning_nor_its_kin(checkpoints):
    code = (
        "import sys, seqmodels\n"
        f"model = seqmodels.load({str(checkpoints['entities'])!r})\n"
        "model.predict(['so Ada Lovelace was'])\n"
        "print([name for name in ('lightning', 'torchmetrics', 'transformers', 'datasets', 'jsonargparse')"
        " if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_missing_file_names_the_nearest(checkpoints):
    with pytest.raises(CheckpointError, match=r"entitis\.ckpt: no such checkpoint \(did you mean 'entities\.ckpt'\?\)"):
        seqmodels.load(checkpoints["entities"].with_name("entitis.ckpt"))
    with pytest.raises(CheckpointError, match=r"no such checkpoint$"):
        seqmodels.load("/nowhere/at/all.ckpt")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(checkpoints, tmp_path, share):
    whole = checkpoints["label"].read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match=r"cut\.ckpt: (not a checkpoint, or one cut short|damaged)"):
        seqmodels.load(tmp_path / "cut.ckpt")


def test_damaged_bytes_are_refused(checkpoints, tmp_path):
    whole = bytearray(checkpoints["label"].read_bytes())
    start = whole.find(b"data.pkl") + 64
    whole[start : start + 200] = b"\x80" * 200
    (tmp_path / "bad.ckpt").write_bytes(bytes(whole))
    with pytest.raises(CheckpointError, match=r"bad\.ckpt: "):
        seqmodels.load(tmp_path / "bad.ckpt")


class Anything:
    """Something that is no plain type."""


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"state_dict": {}, "epoch": 3}, "a checkpoint, but not one of seqmodels: it has no record"),
        ([1, 2], "a checkpoint, but not one of seqmodels: it has no record"),
        (
            {"model": Anything()},
            "holds Python objects besides plain types and tensors, so it was not made by seqmodels",
        ),
        ({"state_dict": {}, "seqmodels": 3}, "not a record of seqmodels: it does not say of which format it is"),
        ({"state_dict": {}, "seqmodels": {"format": 1, "model": {}}}, "it has no network and no schema"),
    ],
)
def test_foreign_files_are_refused(tmp_path, contents, message):
    torch.save(contents, tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError, match=message):
        seqmodels.load(tmp_path / "foreign.ckpt")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "empty.ckpt").write_bytes(b"")
    for name in ("notes.txt", "bare.pkl", "empty.ckpt"):
        with pytest.raises(CheckpointError, match=rf"{name}: not a checkpoint, or one cut short \(\d+ bytes\)"):
            seqmodels.load(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"no best\.ckpt or last\.ckpt in this folder"):
        read_record(tmp_path)


def test_a_newer_format_is_refused(checkpoints, tmp_path):
    path = changed(checkpoints["label"], tmp_path / "new.ckpt", lambda record: record.update(format=FORMAT + 1))
    with pytest.raises(CheckpointError, match=rf"made by a newer seqmodels \(format {FORMAT + 1}, this reads"):
        seqmodels.load(path)


def with_encoder(checkpoints, target, encoder, plugins=()):
    def change(record):
        record["network"]["encoder"] = encoder
        record["plugins"] = list(plugins)

    return changed(checkpoints["label"], target, change)


@pytest.mark.parametrize(
    "encoder",
    [
        "my_module.Encoder",
        {"name": "evil_module.Encoder"},
        {"name": "bidirectional", "layer": "evil_module.Encoder"},
        {"name": "bidirectional", "layer": {"name": "evil_module.Encoder", "hidden_size": 3}},
        {"name": "stacked", "layers": ["lstm", "evil_module.Encoder"]},
        {"name": "stacked", "layers": ["lstm", "unheard_of"]},
    ],
)
def test_nothing_that_is_not_registered_is_imported(checkpoints, tmp_path, encoder, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = with_encoder(checkpoints, tmp_path / "evil.ckpt", encoder, ["my_plugin"])
    with pytest.raises(
        CheckpointError, match=r"encoder.*registered.*plugins my_plugin: .*load\(path, plugins=\['my_plugin'\]\)"
    ):
        seqmodels.load(path)
    with pytest.raises(CheckpointError, match=r"encoder.*registered"):
        seqmodels.Task.load_from_checkpoint(path)
    assert "evil_module" not in sys.modules


def test_the_guard_holds_without_the_survey(checkpoints):
    """A name that hides where the survey of specs does not look is refused where the network is built."""
    record = read_record(checkpoints["label"])
    record["network"]["embedder"] = {"name": "embedding", "characters": {"name": "recurrent"}}
    check_registered(record)
    record["network"]["encoder"] = {"name": "lstm", "hidden_size": 7, "absent": 3}
    with pytest.raises(CheckpointError, match=r"cannot be built here: encoder 'lstm' has no argument 'absent'"):
        build_network(record)


def test_other_weights_are_refused(checkpoints, tmp_path):
    path = with_encoder(checkpoints, tmp_path / "other.ckpt", {"name": "lstm", "hidden_size": 11})
    with pytest.raises(CheckpointError, match=r"its weights do not fit the network it describes"):
        seqmodels.load(path)


def test_plugins_are_imported_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "good_plugin_of_a_test.py").write_text("VALUE = 1\n")
    (tmp_path / "bad_plugin_of_a_test.py").write_text("1 / 0\n")
    (tmp_path / "poor_plugin_of_a_test.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    import_plugins(["good_plugin_of_a_test"])
    assert "good_plugin_of_a_test" in loaded_plugins()
    with pytest.raises(ConfigurationError, match=r"no module named 'god_plugin_of_a_test' \(did you mean 'good_plugin"):
        import_plugins(["god_plugin_of_a_test"])
    with pytest.raises(ConfigurationError, match=r"plugin 'bad_plugin_of_a_test' failed.*ZeroDivisionError"):
        import_plugins(["bad_plugin_of_a_test"])
    with pytest.raises(ConfigurationError, match=r"imports 'a_package_that_nobody_has', which is not installed"):
        import_plugins(["poor_plugin_of_a_test"])


LEAKY = Path(__file__).parents[1] / "examples" / "leaky_package"


def test_a_plugin_makes_its_checkpoint_loadable(toy, tmp_path):
    """In processes of their own: one trains with the plugin, another loads with and without it."""
    path = tmp_path / "leaky.ckpt"
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from conftest import Toy
from seqmodels.inference.plugins import import_plugins
import_plugins(["leaky"])
toy = Toy(Path({str(tmp_path)!r}))
trainer, _, _ = toy.fit("label", task=toy.task("label", encoder={{"name": "bidirectional", "layer": "leaky"}}))
trainer.save_checkpoint({str(path)!r})
"""
    environment = {**os.environ, "PYTHONPATH": str(LEAKY)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert read_record(path)["plugins"] == ["leaky"]
    code = f"""
import seqmodels
try:
    seqmodels.load({str(path)!r})
except seqmodels.CheckpointError as error:
    print(error)
print(seqmodels.load({str(path)!r}, plugins=["leaky"]).predict(["the film was great"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "checkpoint names the encoder 'leaky', which is not registered here" in done.stdout
    assert "plugins leaky: load(path, plugins=['leaky'])" in done.stdout


def test_a_checkpoint_of_the_command_line_is_the_same_thing(toy, checkpoints, tmp_path):
    arguments = [
        *("--model", "SequenceTagger", "--model.crf", "true"),
        *("--model.encoder", "{name: lstm, hidden_size: 7}", "--model.embedder", "{embedding_dim: 5}"),
        *("--data", "LabelledSequences", "--data.reader", "conll", "--data.batch_size", "5"),
        *(
            "--data.train",
            str(toy.folder / "train.entities"),
            "--data.validation",
            str(toy.folder / "validation.entities"),
        ),
        *(
            "--data.test",
            str(toy.folder / "test.entities"),
            "--trainer.accelerator",
            "cpu",
            "--trainer.max_epochs",
            "1",
        ),
        *("--trainer.enable_progress_bar", "false"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "seqmodels", "fit", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    path = sorted(tmp_path.rglob("*.ckpt"))[0]
    torch.load(path, weights_only=True)
    typed, written = read_record(path), read_record(checkpoints["entities"])
    assert typed["network"] == written["network"]
    assert typed["schema"] == written["schema"]
    optimizers = [record["model"]["init_args"].pop("optimizer") for record in (typed, written)]
    assert typed["model"] == written["model"]
    assert optimizers[0] == optimizers[1]
    assert typed["data"]["class_path"] == written["data"]["class_path"]
    assert {**typed["data"]["init_args"], "predict": None} == {**written["data"]["init_args"], "predict": None}
    assert len(seqmodels.load(path).predict(["Ada Lovelace"])[0]) == 2


def test_a_runs_folder_stands_for_its_best_checkpoint(checkpoints, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(checkpoints["label"], tmp_path / "checkpoints" / "best.ckpt")
    assert seqmodels.load(tmp_path).names == seqmodels.load(checkpoints["label"]).names


def test_a_missing_folder_is_not_looked_for_on_the_hub(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder; expected one made by save_pretrained"):
        seqmodels.from_pretrained(tmp_path / "nope")
