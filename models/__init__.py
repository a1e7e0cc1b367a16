"""What is trained: parts that models share, one file for each model family, and model directories on disk."""

from scratchgrad.models.auxiliary import AuxOutputs, Metrics
from scratchgrad.models.bert import BertConfig, BertModel
from scratchgrad.models.bert_heads import (
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from scratchgrad.models.bert_pretraining import BertForMaskedLM, BertForPreTraining
from scratchgrad.models.cache import KeyValueCache
from scratchgrad.models.config import ModelConfig
from scratchgrad.models.decoder import Decoder
from scratchgrad.models.decoder_heads import DecoderForSequenceClassification
from scratchgrad.models.directory import load, load_config, load_generation_config, load_shapes, save, save_config
from scratchgrad.models.encoder_decoder import EncoderDecoder
from scratchgrad.models.families import build, config_from_dict, family_of, register
from scratchgrad.models.gpt2 import GPT2, GPT2Config, GPT2ForSequenceClassification, GPT2Model
from scratchgrad.models.llama import Llama, LlamaConfig, LlamaForSequenceClassification, LlamaModel
from scratchgrad.models.llama2c import describe_llama2c, read_llama2c, write_llama2c
from scratchgrad.models.mixtral import Mixtral, MixtralConfig, MixtralForSequenceClassification, MixtralModel
from scratchgrad.models.mixture import MixtureOfExperts
from scratchgrad.models.model import Model
from scratchgrad.models.output import output_cross_entropy, token_log_probs
from scratchgrad.models.t5 import T5, T5Config
from scratchgrad.models.t5_heads import T5ForSequenceClassification
from scratchgrad.models.transfer import Transfer, match_weights, transfer_weights
from scratchgrad.models.transformer import Transformer, TransformerConfig

__all__ = [
    "GPT2",
    "T5",
    "AuxOutputs",
    "BertConfig",
    "BertForMaskedLM",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "Decoder",
    "DecoderForSequenceClassification",
    "EncoderDecoder",
    "GPT2Config",
    "GPT2ForSequenceClassification",
    "GPT2Model",
    "KeyValueCache",
    "Llama",
    "LlamaConfig",
    "LlamaForSequenceClassification",
    "LlamaModel",
    "Metrics",
    "Mixtral",
    "MixtralConfig",
    "MixtralForSequenceClassification",
    "MixtralModel",
    "MixtureOfExperts",
    "Model",
    "ModelConfig",
    "T5Config",
    "T5ForSequenceClassification",
    "Transfer",
    "Transformer",
    "TransformerConfig",
    "build",
    "config_from_dict",
    "describe_llama2c",
    "family_of",
    "load",
    "load_config",
    "load_generation_config",
    "load_shapes",
    "match_weights",
    "output_cross_entropy",
    "read_llama2c",
    "register",
    "save",
    "save_config",
    "token_log_probs",
    "transfer_weights",
    "write_llama2c",
]  # fmt: skip
