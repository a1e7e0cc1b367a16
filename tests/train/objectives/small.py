"""Small things to try objectives on: a tokenizer, a model of each class, examples, token stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad import manual_seed, models
from scratchgrad.models import Model
from scratchgrad.tools.data import Example, TextLayout, TokenizedExample, TokenStore, write_token_store
from scratchgrad.tools.tokenizer import Tokenizer, train_bpe
from scratchgrad.train.batches import Window
from scratchgrad.train.chat_recipe import ChatRecipe
from scratchgrad.train.objectives import Objective, objectives

CONTEXT = 24
WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "while",
    "it",
    "rained",
    "and",
    "another",
    "dog",
    "slept",
    "below",
    "the",
    "old",
    "table",
]
LABELS = {"0": "bad", "1": "fair", "2": "good"}

BERT = {
    "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
    "initializer_range": 0.3, "id2label": LABELS,
}  # fmt: skip
ENCODER_DECODER = {"d_model": 16, "d_ff": 24, "num_layers": 1, "num_heads": 2}
LLAMA = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
    "tie_word_embeddings": True,
}  # fmt: skip
# By architecture: a config without vocabulary and context, and the objective that trains it by default.
ARCHITECTURES: dict[str, tuple[dict[str, Any], str]] = {
    "LlamaForCausalLM": (LLAMA, "causal_lm"),
    "GPT2LMHeadModel": ({"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2}, "causal_lm"),
    "MixtralForCausalLM": ({**LLAMA, "model_type": "mixtral", "num_local_experts": 2}, "causal_lm"),
    "BertForPreTraining": (BERT, "masked_lm_next_sentence"),
    "BertForMaskedLM": (BERT, "masked_lm"),
    "BertModel": (BERT, "masked_lm"),
    "BertForSequenceClassification": (BERT, "sequence_classification"),
    "GPT2ForSequenceClassification": (
        {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "id2label": LABELS},
        "sequence_classification",
    ),
    "LlamaForSequenceClassification": ({**LLAMA, "id2label": LABELS}, "sequence_classification"),
    "MixtralForSequenceClassification": (
        {**LLAMA, "model_type": "mixtral", "num_local_experts": 2, "id2label": LABELS},
        "sequence_classification",
    ),
    "T5ForSequenceClassification": (
        {**ENCODER_DECODER, "model_type": "t5", "d_kv": 8, "id2label": LABELS},
        "sequence_classification",
    ),
    "BertForTokenClassification": (BERT, "token_classification"),
    "BertForQuestionAnswering": (BERT, "question_answering"),
    "T5ForConditionalGeneration": ({**ENCODER_DECODER, "model_type": "t5", "d_kv": 8}, "span_corruption"),
    "Transformer": ({**ENCODER_DECODER, "model_type": "transformer"}, "seq2seq"),
}
MODELS = {name: architecture for architecture, (_, name) in reversed(ARCHITECTURES.items())}  # one for each objective
MODELS["sft"] = "LlamaForCausalLM"  # which has another one by default


def tokenizer_for(kind: type[Objective]) -> Tokenizer:
    chat = ChatRecipe().special_tokens if "chat" in kind.sections else ()
    return train_bpe([" ".join(WORDS)], 400, special_tokens=("<|endoftext|>", *kind.special_tokens, *chat))


def small(
    name: str, architecture: str | None = None, *, context: int = CONTEXT, **changes: Any
) -> tuple[Objective, Model]:
    """An objective, and a model that it trains."""
    architecture, kind = architecture or MODELS[name], objectives()[name]
    tokenizer, values = tokenizer_for(kind), ARCHITECTURES[architecture][0]
    settings = {key: changes.pop(key) for key in ("seed", "label_smoothing", "chat") if key in changes}
    sizes = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": 128}
    config = models.config_from_dict({**sizes, **values, **changes, "architectures": [architecture]})
    manual_seed(0)
    objective = kind(TextLayout(tokenizer), config, context=context, **settings)
    return objective, models.build(config, architectures=[architecture])


def sentence(rng: np.random.Generator, words: int = 6) -> str:
    return " ".join(rng.choice(WORDS, words))


def examples(name: str, count: int = 12) -> list[Example]:
    """What an objective can learn: labels follow from words."""
    rng, made = np.random.default_rng(0), []
    for number in range(count):
        text = sentence(rng, int(rng.integers(4, 7)))
        words = text.split()
        label = ["bad", "fair", "good"][WORDS.index(words[0]) % 3]
        fields: dict[str, Any] = {"text": text}
        if name == "seq2seq":
            fields = {"source": text, "target": " ".join(reversed(words))}
        elif name == "sequence_classification":
            fields |= {"label": label}
        elif name == "token_classification":
            fields = {"words": words, "labels": [WORDS.index(word) % 3 for word in words]}
        elif name == "sft":
            fields = {"prompt": text, "completion": " ".join(reversed(words[:2]))}
        elif name == "question_answering":
            start = text.index(words[1])
            answers = {"text": [words[1]], "answer_start": [start]} if number % 4 else {"text": [], "answer_start": []}
            fields = {"question": words[0], "context": text, "answers": answers}
        made.append(Example(f"{name}:{number}", fields))
    return made


def store_of(folder: Path, encoded: Sequence[TokenizedExample], vocab_size: int) -> TokenStore:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with write_token_store(folder, vocab_size) as writer:
        for example in encoded:
            writer.append(example)
    return TokenStore(folder)


def text_store(folder: Path, tokens: np.ndarray[Any, Any], vocab_size: int = 70_000) -> TokenStore:
    """One text of these tokens, if there are any."""
    whole = [TokenizedExample(tokens, np.ones(len(tokens), bool))] if len(tokens) else []
    return store_of(folder, whole, vocab_size)


def windows_of(text: np.ndarray[Any, Any], length: int, numbers: Sequence[int]) -> list[Window]:
    """Window i of `length` tokens of a text, one for each number."""
    return [
        Window(text[i * length : (i + 1) * length].astype(np.int64), np.ones(length, bool), number, text)
        for i, number in enumerate(numbers)
    ]
