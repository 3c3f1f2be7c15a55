"""Readers: one file format each, streaming `Example`s with errors that say `path:line`."""

from seqmodels.data.readers.conll import ConllReader
from seqmodels.data.readers.conllu import ConlluReader
from seqmodels.data.readers.csv_file import CsvReader
from seqmodels.data.readers.documents import DocumentsReader
from seqmodels.data.readers.fasta import FastaReader
from seqmodels.data.readers.huggingface import HuggingFaceReader
from seqmodels.data.readers.jsonl import JsonLinesReader
from seqmodels.data.readers.label_text import LabelTextReader
from seqmodels.data.readers.parallel import ParallelReader
from seqmodels.data.readers.parquet import ParquetReader
from seqmodels.data.readers.piano_roll import PianoRollReader
from seqmodels.data.readers.python_functions import PythonFunctions
from seqmodels.data.readers.python_identifiers import PythonIdentifiers
from seqmodels.data.readers.python_source import PythonClassification, PythonTagging
from seqmodels.data.readers.reader import (
    Example,
    Reader,
    create_reader,
    list_readers,
    read_examples,
    reader_registry,
    register_reader,
)
from seqmodels.data.readers.text import TextReader
from seqmodels.data.readers.text_folders import TextFoldersReader
from seqmodels.data.readers.uea import UeaReader

__all__ = [
    "ConllReader",
    "ConlluReader",
    "CsvReader",
    "DocumentsReader",
    "Example",
    "FastaReader",
    "HuggingFaceReader",
    "JsonLinesReader",
    "LabelTextReader",
    "ParallelReader",
    "ParquetReader",
    "PianoRollReader",
    "PythonClassification",
    "PythonFunctions",
    "PythonIdentifiers",
    "PythonTagging",
    "Reader",
    "TextFoldersReader",
    "TextReader",
    "UeaReader",
    "create_reader",
    "list_readers",
    "read_examples",
    "reader_registry",
    "register_reader",
]
