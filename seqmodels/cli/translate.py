"""`seqmodels translate`: lines of a file or of standard input to their translations, in the same order."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TextIO

import torch
from jsonargparse import ArgumentParser

from seqmodels.cli.input_lines import input_lines
from seqmodels.cli.options import move_to_device, parse
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.inference.attention_picture import plot_attention
from seqmodels.inference.load import load_ensemble
from seqmodels.inference.plugins import import_entry_points
from seqmodels.inference.predictor import Predictor
from seqmodels.inference.translating import Translation
from seqmodels.inference.translation_options import TranslationOptions

Format = Literal["text", "jsonl"]
FEW_TOKENS = 20  # of which the share of unknown ones tells nothing


def run(arguments: Sequence[str]) -> int:
    """Reads the options, writes a translation for each line and returns the exit status.

    Lines are read a chunk at a time, of which those of like length are translated together; the translations of a
    chunk are written when it is done, so that a file of any size is no trouble.

    Raises:
        ConfigurationError: an option is wrong, no checkpoint is named, or checkpoints do not fit each other.
        DataError: the input cannot be read.
    """
    given = parse(_parser(), arguments)
    options = TranslationOptions(**{field.name: getattr(given, field.name) for field in fields(TranslationOptions)})
    for name in ("batch_size", "chunk_size"):
        if getattr(given, name) < 1:
            raise ConfigurationError(f"--{name} must be at least 1, got {getattr(given, name)}")
    if not given.ckpt_path:
        raise ConfigurationError("translate needs a trained translator: --ckpt_path FILE, or the folder of a run")
    _check_files(given.input, given.output)
    if given.attention is not None:
        _check_folder(given.attention)
        plot_attention(torch.ones(1, 1), ["source"], ["translation"])  # what is missing is said before the work
    import_entry_points()
    model = load_ensemble(given.ckpt_path, plugins=given.plugins, batch_size=given.batch_size)
    move_to_device(model, given.device)
    with input_lines(given.input) as lines, _writing(given.output) as output:
        first = 0
        while chunk := list(itertools.islice(lines, given.chunk_size)):
            _translate(model, chunk, options, given, first, output)
            first += len(chunk)
    return 0


def _translate(
    model: Predictor, chunk: list[str], options: TranslationOptions, given: Any, first: int, output: TextIO
) -> None:
    """Translates some lines and writes what was found; `first` is the number of the first of them, from 0."""
    assert model.ensemble is not None
    found = model.translate_n_best(
        chunk,
        options,
        alignments=given.format == "jsonl" and model.ensemble.attends,
        attention=given.attention is not None,
        first=first,
    )
    if first == 0:
        _judge(model, found)
    for number, (line, translations) in enumerate(zip(chunk, found, strict=True), first + 1):
        if given.format == "jsonl":
            record = {"source": line, "translations": [_record(translation) for translation in translations]}
            output.write(json.dumps(record, ensure_ascii=False) + "\n")
        elif options.n_best > 1:
            for best in translations:
                output.write(f"{number}\t{best.score:.4f}\t{_on_a_line(best.text)}\n")
        else:
            output.write(f"{_on_a_line(translations[0].text)}\n")
        if given.attention is not None:
            _draw(model, translations[0], Path(given.attention).expanduser() / f"{number:06d}.png")
    output.flush()


def _judge(model: Predictor, found: Sequence[Sequence[Translation]]) -> None:
    """Warns of sources that can hardly be of the kind that the model was trained on."""
    assert model.ensemble is not None
    source = model.ensemble.source_tokenizer
    tokens = [token for best, *_ in found for token in best.source_tokens]
    if source is None or len(tokens) < FEW_TOKENS:
        return
    unknown = tokens.count(source.tokens([source.unk_id])[0])
    if unknown > len(tokens) / 2:
        print(
            f"seqmodels translate: {100 * unknown / len(tokens):.0f}% of the first {len(tokens):,} tokens are unknown "
            f"to the model; expected texts as in training (language, spelling)",
            file=sys.stderr,
        )


def _record(translation: Translation) -> dict[str, Any]:
    record = {
        "text": translation.text,
        "score": translation.score,
        "log_probability": translation.log_probability,
        "finished": translation.finished,
        "tokens": translation.tokens,
        "log_probabilities": translation.log_probs,
    }
    if translation.alignment is not None:
        record |= {"source_tokens": translation.source_tokens, "alignment": translation.alignment}
    return record


def _on_a_line(text: str) -> str:
    """Returns the text without the line breaks that a model over bytes may write, so that lines can be counted."""
    return " ".join(text.splitlines())


def _draw(model: Predictor, translation: Translation, path: Path) -> None:
    assert model.ensemble is not None
    if translation.attention is None or 0 in translation.attention.shape:
        return  # of an empty line there is nothing to see
    source = model.ensemble.source_tokenizer
    read = translation.source_tokens if source is None else source.readable(translation.source_tokens)
    figure = plot_attention(translation.attention, read, model.ensemble.tokenizer.readable(translation.tokens))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="seqmodels translate",
        description="Translates the lines of a file or of standard input, in order; an empty line stays empty.",
        exit_on_error=False,
    )
    parser.add_argument(
        "--ckpt_path",
        type=str,
        action="append",
        default=None,
        help="the checkpoint, or the folder of a run; given several times, the models translate together",
    )
    parser.add_argument(
        "--input",
        type=str,
        default="-",
        help="file of sources, one a line, in UTF-8, also gzipped (.gz); - is standard input",
    )
    parser.add_argument("--output", type=str, default="-", help="file to write, in UTF-8; - is standard output")
    parser.add_argument(
        "--format",
        type=Format,
        default="text",
        help="text is a translation a line (with n_best above 1 the number of the source, the score and the "
        "translation, with tabs between); jsonl an object a line, with scores, tokens and alignments",
    )
    parser.add_argument(
        "--attention", type=str, default=None, help="folder for a picture of each best translation's attention"
    )
    parser.add_argument("--batch_size", type=int, default=64, help="sources translated at once")
    parser.add_argument("--chunk_size", type=int, default=4096, help="lines read and sorted by length at once")
    parser.add_argument("--device", type=str, default="cpu", help="where to compute, such as cuda")
    parser.add_argument("--plugins", type=str, action="append", default=[], help="module of your own to import first")
    parser.add_class_arguments(TranslationOptions, as_group=False)
    return parser


def _check_files(source: str, target: str) -> None:
    """Makes sure, before anything is loaded, that the files can be read and written."""
    if source != "-" and not Path(source).expanduser().exists():
        raise DataError(f"--input {source}: no such file")
    if source != "-" and Path(source).expanduser().is_dir():
        raise DataError(f"--input {source}: is a folder; name a file of sources, one a line")
    if target == "-":
        return
    output = Path(target).expanduser().absolute()
    if output.is_dir():
        raise ConfigurationError(f"--output {target}: is a folder; name a file in it")
    if not output.parent.is_dir():
        raise ConfigurationError(f"--output {target}: there is no folder {output.parent}; make it first")
    if source != "-" and output.exists() and os.path.samefile(output, Path(source).expanduser()):
        raise ConfigurationError(f"--output {target}: is the input too, and would be lost; choose another name")


def _check_folder(pictures: str) -> None:
    """Makes sure that the folder of pictures is one, or can become one."""
    place = Path(pictures).expanduser().absolute()
    found = next(path for path in (place, *place.parents) if path.exists())
    if not found.is_dir():
        raise ConfigurationError(f"--attention {pictures}: {found} is a file; name a folder for the pictures")


@contextlib.contextmanager
def _writing(path: str) -> Iterator[TextIO]:
    if path == "-":
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # as the sources are, whatever the system's own encoding
        yield sys.stdout
        return
    with open(Path(path).expanduser(), "w", encoding="utf-8") as stream:
        yield stream
