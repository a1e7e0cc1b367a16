"""Text from a model: sampled in a running batch, searched for with beams, streamed, or filled in where it is masked."""

from scratchgrad.tools.generation.batch_sampler import (
    BatchSampler,
    FinishReason,
    Request,
    Token,
    generate,
    generate_ids,
)
from scratchgrad.tools.generation.beams import Hypothesis, beam_search
from scratchgrad.tools.generation.filling import Candidate, fill_masks
from scratchgrad.tools.generation.model import GenerationModel, check_prompt, evaluating
from scratchgrad.tools.generation.prefix_cache import PrefixCache
from scratchgrad.tools.generation.sampling_params import SamplingParams
from scratchgrad.tools.generation.text_stream import TextStream

__all__ = [
    "BatchSampler",
    "Candidate",
    "FinishReason",
    "GenerationModel",
    "Hypothesis",
    "PrefixCache",
    "Request",
    "SamplingParams",
    "TextStream",
    "Token",
    "beam_search",
    "check_prompt",
    "evaluating",
    "fill_masks",
    "generate",
    "generate_ids",
]
