"""The command as a process: what answers at once, what it imports, and how it takes a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "numpy", "lightning", "datasets", "transformers", "torchmetrics")
COUNT = f"""
import sys
from seqmodels.__main__ import main
status = main(sys.argv[1:])
print(sorted(set({HEAVY}) & set(sys.modules)), status)
"""


def imported(*arguments):
    """Runs the command in a process of its own; returns its output, and a line of what it imported and its status."""
    result = subprocess.run([sys.executable, "-c", COUNT, *arguments], capture_output=True, text=True, timeout=60)
    *lines, last = result.stdout.splitlines()
    return "\n".join(lines), result.stderr, last


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--help",), 0, "usage: seqmodels COMMAND"),
        ((), 2, "usage: seqmodels COMMAND"),
        (("encoders", "--help"), 0, "usage: seqmodels encoders"),
        (("--version",), 0, "seqmodels "),
        (("fti", "--config", "x"), 2, "no command 'fti' (did you mean 'fit'?)"),
        (("fit", "--config", "nowhere.yaml"), 2, "no such file"),
        (("fit", "--modle", "x"), 2, "unknown key '--modle' (did you mean 'model'?)"),
        (("test",), 2, "test needs a trained model"),
    ],
)
def test_answers_without_importing_torch(arguments, status, said):
    out, err, last = imported(*arguments)
    assert said in out + err
    assert last == f"[] {status}"


def test_help_takes_no_time():
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "seqmodels", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.5


def test_a_misspelt_encoder_does_not_wait_for_lightning():
    _, err, last = imported("fit", "--model", "SequenceTagger", "--model.encoder", "lstmm")
    assert "did you mean 'lstm'" in err
    assert last == "['numpy', 'torch'] 2"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_fit_that_is_broken_off_can_be_gone_on_with(command, folder, number, status):
    arguments = ["fit", "--config", "classifier.yaml", "--trainer.max_epochs", "100000"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "seqmodels", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # a job in the background is started with Ctrl-C ignored, and would pass that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 3"):
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "Traceback" not in err
    assert "broken off after" in err
    checkpoint = folder / "runs" / "classifier" / "version_0" / "checkpoints" / "interrupted.ckpt"
    assert str(checkpoint.relative_to(folder)) in err
    result = command("fit", "--ckpt_path", checkpoint, "--trainer.max_epochs", 5)
    assert result.status == 0, result.err
    assert "epoch 0" not in result.out


def test_ctrl_c_before_training(monkeypatch, command):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("seqmodels.cli.arguments.take_apart", interrupt)
    result = command("fit")
    assert (result.status, result.err) == (130, "seqmodels fit: interrupted\n")
