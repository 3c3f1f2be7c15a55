"""Decoding: from a step of a model to whole sequences. It knows no model, no tokenizer and no text.

All of it works on `step(ids, state) -> (logits, state)` and on the rows of `state`, so it serves language models and
translation alike. Axes: rows (sequences, or hypotheses of a beam), vocab_size, time, source_time.
"""

from seqmodels.generation.beam_options import BeamOptions
from seqmodels.generation.beam_search import AttentionReader, beam_search
from seqmodels.generation.generate import GenerationOptions, Stop, Written, generate, stream
from seqmodels.generation.hypothesis import Hypothesis
from seqmodels.generation.sampling import best_ids, sample_ids, uniforms
from seqmodels.generation.scoring import read_references, score_references
from seqmodels.generation.step import Ensemble, Step

__all__ = [
    "AttentionReader",
    "BeamOptions",
    "Ensemble",
    "GenerationOptions",
    "Hypothesis",
    "Step",
    "Stop",
    "Written",
    "beam_search",
    "best_ids",
    "generate",
    "read_references",
    "sample_ids",
    "score_references",
    "stream",
    "uniforms",
]
