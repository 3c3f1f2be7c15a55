"""`seqmodels generate` and `seqmodels average`: what they print, and what they say to mistakes."""

from __future__ import annotations

import functools
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import Trainer

import seqmodels
from seqmodels import ContiguousStreams, LanguageModel
from seqmodels.__main__ import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    (folder / "text.txt").write_text("one dog sat on a mat\nthe cat ran far away\n" * 20)
    for epochs in (25, 26):
        torch.manual_seed(0)
        task = LanguageModel(
            {"name": "gru", "hidden_size": 17},
            {"embedding_dim": 13},
            optimizer=functools.partial(torch.optim.Adam, lr=0.02),
        )
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(task, datamodule=ContiguousStreams(train=str(folder / "text.txt"), batch_size=3, window=17))
        trainer.save_checkpoint(folder / f"{epochs}.ckpt")
    return folder


def said(capsys, *arguments):
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_writes_one_text_as_it_comes(runs, capsys):
    options = ["--ckpt_path", str(runs / "25.ckpt"), "--prompt", "one dog", "--temperature", "0"]
    assert said(capsys, "generate", *options) == (0, "one dog sat on a mat\n", "")


def test_writes_several_prompts_and_samples(runs, capsys, tmp_path):
    (tmp_path / "prompts.txt").write_bytes(b"\xef\xbb\xbfthe cat\r\n\r\n")  # as an editor of another system saves it
    options = ["--ckpt_path", str(runs / "25.ckpt"), "--prompt", "one", "--input", str(tmp_path / "prompts.txt")]
    status, out, err = said(capsys, "generate", *options, "--top_k=1", "--samples", "2")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:4] == ["one dog sat on a mat"] * 2 + ["the cat ran far away"] * 2
    assert len(lines) == 6
    stopped = said(capsys, "generate", *options[:4], "--temperature=0", "--stop", "zebra", "--stop", " on")
    assert stopped == (0, "one dog sat\n", "")
    model = seqmodels.load(runs / "25.ckpt")
    assert [f"the{text}" for text in model.generate(["the"] * 3, top_p=0.9, seed=7)] == said(
        capsys, "generate", *options[:2], "--prompt=the", "--samples=3", "--top_p=0.9", "--seed=7"
    )[1].splitlines()


def test_reads_prompts_from_standard_input(runs):
    options = ["--ckpt_path", str(runs / "25.ckpt"), "--input", "-", "--temperature=0"]
    done = subprocess.run(
        [sys.executable, "-m", "seqmodels", "generate", *options],
        input="one dog\nthe cat\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "one dog sat on a mat\nthe cat ran far away\n"


def test_says_that_a_pipe_is_not_read(runs):
    done = subprocess.run(
        [sys.executable, "-m", "seqmodels", "generate", "--ckpt_path", str(runs / "25.ckpt"), "--max_length=2"],
        input="one dog\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert "standard input is not read; --input - takes prompts from it" in done.stderr


def test_needs_no_lightning(runs):
    code = (
        "import sys; from seqmodels.__main__ import main; "
        f"main(['generate', '--ckpt_path', {str(runs / '25.ckpt')!r}, '--prompt', 'one']); "
        "print([name for name in ('lightning', 'torchmetrics', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_averages_checkpoints(runs, capsys, tmp_path):
    paths = [str(runs / f"{epochs}.ckpt") for epochs in (25, 26)]
    status, out, err = said(capsys, "average", "--output", str(tmp_path / "mean.ckpt"), *paths)
    assert (status, err) == (0, "")
    assert "the mean of 2 checkpoints" in out
    weights = [seqmodels.load(path).network.state_dict() for path in (*paths, tmp_path / "mean.ckpt")]
    for name, mean in weights[2].items():
        torch.testing.assert_close(mean, (weights[0][name] + weights[1][name]) / 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate"], "generate needs a trained language model: --ckpt_path FILE"),
        (["generate", "--ckpt_path", "nowhere.ckpt"], "nowhere.ckpt"),
        (["generate", "--promt", "x"], "unknown option '--promt' (did you mean 'prompt'?)"),
        (["generate", "--max_length", "many"], "--max_length: expected a whole number, got 'many'"),
        (["generate", "--temperature=-1"], "temperature must be 0"),
        (["generate", "--samples", "0", "--ckpt_path", "{model}"], "--samples must be at least 1, got 0"),
        (["generate", "--samples=2", "--temperature=0"], "--samples 2: --temperature 0 draws nothing"),
        (["generate", "--samples=2", "--beam_size=3"], "--samples 2: --beam_size 3 draws nothing"),
        (["generate", "--ckpt_path", "{model}", "--prompt", "zebra"], "prompt 1: not in the model's vocabulary"),
        (["generate", "--ckpt_path", "{model}", "--input", "nowhere.txt"], "--input nowhere.txt: cannot be read"),
        (["generate", "--ckpt_path", "{label}", "--prompt", "the"], "generate needs a language model"),
        (["average", "{model}"], "expected --output FILE and two checkpoints or more"),
        (["average", "--output", "x.ckpt", "{model}", "{label}"], "not of the same run"),
        (["average", "--outpt", "x.ckpt"], "unknown option '--outpt' (did you mean 'output'?)"),
    ],
)
def test_mistakes(runs, checkpoints, capsys, arguments, message):
    named = {"model": runs / "25.ckpt", "label": checkpoints["label"]}
    status, out, err = said(capsys, *(argument.format(**named) for argument in arguments))
    assert status in (1, 2)
    assert message in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize("command", ["generate", "average"])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: seqmodels {command}" in capsys.readouterr().out
