"""Start-up in fresh processes: help, a typo, the import, and from nothing to the first prediction.

    python scripts/benchmark_startup.py [--ckpt_path FILE] [--rounds 5]

Without a checkpoint, a small tagger is trained on one line first. Each figure is the median of whole processes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from seqmodels.callbacks.run_report import machine


def make_checkpoint(folder: Path) -> Path:
    """Trains a tagger for a step and returns its checkpoint."""
    import lightning

    from seqmodels import LabelledSequences, SequenceTagger

    (folder / "train.conll").write_text("The\tDET\ncat\tNOUN\nsleeps\tVERB\n\n")
    data = LabelledSequences(reader="conll", train=str(folder / "train.conll"), characters=True)
    trainer = lightning.Trainer(max_steps=1, logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(SequenceTagger(), data)
    trainer.save_checkpoint(folder / "model.ckpt")
    return folder / "model.ckpt"


def seconds(command: list[str], rounds: int) -> list[float]:
    """Returns the wall seconds of each of `rounds` processes, after one to warm the disk's cache."""
    taken = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        taken.append(time.perf_counter() - begin)
    return taken[1:]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt_path", type=Path, help="the checkpoint to load")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"machine: {machine()}")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = arguments.ckpt_path or make_checkpoint(Path(folder))
        python = [sys.executable, "-c"]
        predict = f"import seqmodels; seqmodels.load({str(checkpoint)!r}).predict([['a', 'word']])"
        commands = {
            "python (nothing)": [*python, "pass"],
            "import seqmodels": [*python, "import seqmodels"],
            "seqmodels --help": [sys.executable, "-m", "seqmodels", "--help"],
            "seqmodels encoders --help": [sys.executable, "-m", "seqmodels", "encoders", "--help"],
            "a misspelt subcommand": [sys.executable, "-m", "seqmodels", "fti"],
            "import torch": [*python, "import torch"],
            "load and predict": [*python, predict],
            "import lightning": [*python, "import lightning"],
        }
        print(f"{'what':<28}{'median s':>10}{'min':>8}{'max':>8}")
        for name, command in commands.items():
            taken = seconds(command, arguments.rounds)
            print(f"{name:<28}{statistics.median(taken):>10.2f}{min(taken):>8.2f}{max(taken):>8.2f}")


if __name__ == "__main__":
    main()
