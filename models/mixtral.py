"""Mixtral (Jiang et al. 2024): a Llama in which each token goes to two of eight feed-forward parts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scratchgrad.models.decoder_heads import ClassifierConfig, DecoderForSequenceClassification, HeadlessDecoder
from scratchgrad.models.experts import MAX_EXPERTS, renamed
from scratchgrad.models.llama import Llama, LlamaConfig
from scratchgrad.models.weights import WeightMap

HF_NAMES = {"mlp": "block_sparse_moe", "router": "gate", "gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}


class MixtralConfig(LlamaConfig):
    """Sizes of a Mixtral, by Hugging Face's names."""

    model_type: Literal["mixtral"] = "mixtral"  # type: ignore[assignment]
    num_local_experts: int = Field(default=8, gt=0, le=MAX_EXPERTS)
    norm_topk_prob: Literal[True] = True
    rope_theta: float = Field(default=1e6, gt=0)
    rms_norm_eps: float = Field(default=1e-5, gt=0)
    sliding_window: None = None
    router_jitter_noise: float = Field(default=0.0, ge=0, le=0)

    @property
    def saved_type(self) -> str:
        return self.model_type


class Mixtral(Llama):
    config_class = MixtralConfig
    architecture = "MixtralForCausalLM"
    bare_architecture = "MixtralModel"

    @staticmethod
    def weight_map(config: LlamaConfig) -> WeightMap:
        return renamed(Llama.weight_map(config), HF_NAMES)


class MixtralModel(HeadlessDecoder):
    """Saved without an output layer."""

    decoder_class = Mixtral


class MixtralClassifierConfig(ClassifierConfig, MixtralConfig):
    """Sizes of a Mixtral, and the labels that it gives."""


class MixtralForSequenceClassification(DecoderForSequenceClassification):
    config_class = MixtralClassifierConfig
    decoder_class = Mixtral
    architecture = "MixtralForSequenceClassification"
    base_model_prefix, keys_to_ignore_on_load = Mixtral.base_model_prefix, Mixtral.keys_to_ignore_on_load
