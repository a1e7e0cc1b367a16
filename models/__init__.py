"""What is trained: parts that models share, one file for each model family, and model directories on disk."""

from scratchgrad.models.cache import Cache
from scratchgrad.models.config import ModelConfig
from scratchgrad.models.decoder import Decoder
from scratchgrad.models.directory import load, load_generation_config, save
from scratchgrad.models.families import build, config_from_dict
from scratchgrad.models.gpt2 import GPT2, GPT2Config
from scratchgrad.models.llama import Llama, LlamaConfig
from scratchgrad.models.model import Model

__all__ = [
    "GPT2", "Cache", "Decoder", "GPT2Config", "Llama", "LlamaConfig", "Model", "ModelConfig", "build",
    "config_from_dict", "load", "load_generation_config", "save",
]  # fmt: skip
