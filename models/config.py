"""What all model configs share: Hugging Face's names, checked before a model is built."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scratchgrad.errors import UserError, quoted, shortened

# Keys of a Hugging Face config.json that say nothing about the mathematics of the model, unless its config names them.
BOOKKEEPING = {
    "_commit_hash", "_name_or_path", "architectures", "attention_dropout", "attention_probs_dropout_prob",
    "attn_pdrop", "bad_words_ids", "begin_suppress_tokens", "bos_token_id", "chunk_size_feed_forward",
    "classifier_dropout", "dense_act_fn", "diversity_penalty", "do_sample", "dropout_rate", "dtype",
    "early_stopping", "embd_pdrop", "eos_token_id", "exponential_decay_length_penalty", "finetuning_task",
    "forced_bos_token_id", "forced_eos_token_id", "gradient_checkpointing", "hidden_dropout_prob", "id2label",
    "initializer_factor", "initializer_range", "is_encoder_decoder", "is_gated_act", "label2id",
    "label_smoothing", "length_penalty", "max_length", "min_length", "model_max_length", "n_ctx",
    "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "output_attentions",
    "output_hidden_states", "output_past", "output_router_logits", "output_scores", "pad_token_id", "prefix",
    "pretraining_tp", "problem_type", "remove_invalid_values", "repetition_penalty", "resid_pdrop", "return_dict",
    "return_dict_in_generate", "sep_token_id", "summary_activation", "summary_first_dropout",
    "summary_proj_to_labels", "summary_type", "summary_use_proj", "suppress_tokens", "task_specific_params",
    "temperature", "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript", "transformers.js_config",
    "transformers_version", "typical_p", "unsloth_version", "use_bfloat16", "use_cache",
}  # fmt: skip

MOST_FAULTS = 4  # that a message tells

# More than any model has, and few enough that a config.json that lies about them costs nothing.
Size = Annotated[int, Field(gt=0, le=2**24)]
LayerCount = Annotated[int, Field(gt=0, le=1024)]


class ModelConfig(BaseModel):
    """A subclass names its fields as Hugging Face does. A feature that we lack is a field with one allowed value."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    model_type: str
    vocab_size: int
    max_position_embeddings: int

    def hugging_face_refusal(self) -> str | None:
        """Why Hugging Face has no class for such a model; None where it has one."""
        return None

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """The config of these values, or a UserError that names every one that does not do."""
        try:
            return cls(**values)
        except ValidationError as error:
            told = [cls._sentence(fault) for fault in error.errors()]
            more = [f"and {len(told) - MOST_FAULTS} more"] * (len(told) > MOST_FAULTS)
            raise UserError("; ".join([*told[:MOST_FAULTS], *more])) from None

    @classmethod
    def _sentence(cls, fault: Any) -> str:
        name = shortened(".".join(map(str, fault["loc"])), 60)
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, cls.model_fields, n=1)
            return f"model.{name} is not a key of a {cls.__name__}" + (
                f"; did you mean model.{near[0]}?" if near else ""
            )
        if fault["type"] == "missing":
            return f"model.{name} is missing"
        if not name:
            return str(fault["msg"]).removeprefix("Value error, ")
        if fault["type"] in ("literal_error", "none_required"):
            return f"model.{name} = {quoted(fault['input'])} asks for a feature that is not supported: {fault['msg']}"
        return f"model.{name} = {quoted(fault['input'])}: {fault['msg']}"
