"""Small examples of what other implementations compute, kept in fixtures/ so that tests need not have them installed.

    python -m tests.models.make_fixtures            all of them
    python -m tests.models.make_fixtures gpt2 t5

One function for each: it makes an example with the other implementation (PyTorch, transformers) at hand. The tests call
the same functions where that is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.models.parity import Example


def bert(architecture: str, classes: int = 2) -> Example:
    """A BERT of transformers with a head, on two texts of which one is filled up."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=classes,
    )  # fmt: skip
    model = getattr(transformers, architecture)(config)
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():  # parts that would be missed
        torch.nn.init.normal_(parameter, mean=float("LayerNorm.weight" in name), std=0.3)
    batch = marked_texts(architecture, classes)
    targets = {"labels": torch.tensor(batch["targets"])}
    if architecture == "BertForPreTraining":
        targets["next_sentence_label"] = torch.tensor(batch["next_sentence_targets"])
    elif architecture == "BertForQuestionAnswering":
        targets = dict(zip(("start_positions", "end_positions"), targets["labels"].T, strict=True))
    out = model(
        input_ids=torch.tensor(batch["input_ids"]),
        token_type_ids=torch.tensor(batch["token_type_ids"]),
        attention_mask=torch.tensor(batch["attention_mask"]).long(),
        **targets,
    )
    out.loss.backward()
    logits = [part for name, part in out.items() if "logits" in name]
    return Example(
        {**config.to_dict(), "architectures": [architecture]},
        {name: parameter.detach().numpy() for name, parameter in parameters.items()},
        batch,
        np.concatenate([part.detach().numpy().ravel() for part in logits]),
        out.loss.item(),
        {name: parameter.grad.numpy() for name, parameter in parameters.items()},
    )


def gpt2(*, is_tied: bool = True) -> Example:
    """A GPT-2 of transformers."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=30, n_positions=16, n_embd=8, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        tie_word_embeddings=is_tied,
    )  # fmt: skip
    return causal(GPT2LMHeadModel(config))


def llama(*, is_tied: bool = True) -> Example:
    """A Llama of transformers, with two heads of queries for each head of keys."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=30, max_position_embeddings=16, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=is_tied,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    )  # fmt: skip
    return causal(LlamaForCausalLM(config))


def causal(model: Any) -> Example:
    """What a language model of transformers says of two texts, some of whose tokens need not be told."""
    import torch

    torch.manual_seed(0)
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        is_scale = "norm" in name or (".ln_" in name and name.endswith("weight"))
        torch.nn.init.normal_(parameter, mean=1.0 if is_scale else 0.0, std=0.3)  # parts that would be missed
    rng = np.random.default_rng(0)
    ids, targets = rng.integers(0, 30, (2, 11)), rng.integers(0, 30, (2, 11))
    targets[0, 6:] = -100
    logits = model(input_ids=torch.tensor(ids)).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten())
    loss.backward()
    return Example(
        {**model.config.to_dict(), "architectures": [type(model).__name__]},
        {name: parameter.detach().numpy() for name, parameter in parameters.items()},
        {"input_ids": ids, "targets": targets},
        logits.detach().numpy(),
        loss.item(),
        {name: parameter.grad.numpy() for name, parameter in parameters.items()},
    )


def marked_texts(architecture: str, classes: int) -> dict[str, np.ndarray]:
    """What the loss of this architecture takes."""
    rng = np.random.default_rng(0)
    mask = np.ones((2, 11), bool)
    mask[1, 7:] = False
    batch = {
        "input_ids": rng.integers(1, 30, (2, 11)),
        "token_type_ids": np.repeat([[0, 1]], [4, 7], 1).repeat(2, 0),
        "attention_mask": mask,
    }
    if architecture == "BertForQuestionAnswering":
        return {**batch, "targets": np.array([[2, 5], [0, 6]])}
    if architecture == "BertForSequenceClassification":
        return {**batch, "targets": np.array([1, 2]) if classes > 1 else np.array([0.5, -1.5], np.float32)}
    targets = rng.integers(0, classes if architecture == "BertForTokenClassification" else 30, (2, 11))
    batch["targets"] = np.where(mask & (rng.random((2, 11)) < 0.5), targets, -100)
    if architecture == "BertForPreTraining":
        batch["next_sentence_targets"] = np.array([1, 0])
    return batch


def t5(feed_forward_proj: str = "relu", is_tied: bool = True) -> Example:
    """A T5 of transformers with a padded source and a padded target."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=30, d_model=8, d_kv=6, d_ff=12, num_layers=1, num_decoder_layers=2, num_heads=2, dropout_rate=0.0,
        relative_attention_num_buckets=8, relative_attention_max_distance=10, feed_forward_proj=feed_forward_proj,
        tie_word_embeddings=is_tied, pad_token_id=2, decoder_start_token_id=3,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    if not is_tied:  # transformers 5 ties them whatever the config says, until weights are loaded that differ
        model.lm_head.weight = torch.nn.Parameter(torch.randn(30, 8))
    batch = source_and_target()
    labels = torch.tensor(batch["targets"])
    mask = torch.tensor(batch["attention_mask"]).long()
    out = model(input_ids=torch.tensor(batch["input_ids"]), attention_mask=mask, labels=labels)
    out.loss.backward()
    parameters = dict(model.named_parameters())
    return Example(
        {**config.to_diff_dict(), "architectures": ["T5ForConditionalGeneration"], "tie_word_embeddings": is_tied},
        {name: parameter.detach().numpy() for name, parameter in parameters.items()},
        batch,
        out.logits.detach().numpy(),
        out.loss.item(),
        {name: parameter.grad.numpy() for name, parameter in parameters.items()},
    )


def transformer() -> Example:
    """PyTorch's own nn.Transformer, without the norms behind its stacks and with the biases of attention at zero."""
    import torch
    from torch import nn

    from scratchgrad import functional as F

    torch.manual_seed(0)
    config = {
        "model_type": "transformer", "vocab_size": 30, "max_position_embeddings": 16, "d_model": 8, "d_ff": 12,
        "num_layers": 1, "num_decoder_layers": 2, "num_heads": 2, "layer_norm_epsilon": 1e-5, "label_smoothing": 0.1,
        "pad_token_id": 2, "decoder_start_token_id": 3,
    }  # fmt: skip
    shape = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0, "batch_first": True}
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**shape), 1, enable_nested_tensor=False)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**shape), 2)
    embedding = nn.Parameter(torch.randn(30, 8) / 8**0.5)
    for name, parameter in (*encoder.named_parameters(), *decoder.named_parameters()):
        if name.endswith(("in_proj_bias", "out_proj.bias")):
            nn.init.zeros_(parameter)
        elif parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)  # norms that would be missed
    batch = source_and_target()
    ids, targets = torch.tensor(batch["input_ids"]), torch.tensor(batch["targets"])
    read = torch.cat([torch.full((len(targets), 1), 3), targets[:, :-1]], 1)
    read = torch.where(read < 0, 2, read)
    hidden = torch.tensor(~batch["attention_mask"])
    positions = torch.tensor(F.sinusoidal_positions(16, 8).data)

    def embed(ids: torch.Tensor) -> torch.Tensor:
        return embedding[ids] * 8**0.5 + positions[: ids.shape[1]]

    memory = encoder(embed(ids), src_key_padding_mask=hidden)
    later = torch.triu(torch.full((read.shape[1],) * 2, -torch.inf), diagonal=1)
    states = decoder(embed(read), memory, tgt_mask=later, memory_key_padding_mask=hidden)
    logits = states @ embedding.T
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=0.1)
    loss.backward()
    named = {"model.shared.weight": embedding}
    for stack, module in (("encoder", encoder), ("decoder", decoder)):
        named |= {f"model.{stack}.{name}": parameter for name, parameter in module.named_parameters()}
    weights = as_in_bart({name: parameter.detach().numpy() for name, parameter in named.items()})
    gradients = as_in_bart({name: parameter.grad.numpy() for name, parameter in named.items()})
    return Example(config, weights, batch, logits.detach().numpy(), loss.item(), gradients)


def mixtral() -> Example:
    """A Mixtral of transformers, with its balance loss: of one layer, because ours is the mean over layers."""
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=30, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, num_local_experts=4, num_experts_per_tok=2,
        router_aux_loss_coef=0.1, output_router_logits=True, initializer_range=0.4,
    )  # fmt: skip
    model = MixtralForCausalLM(config)
    rng = np.random.default_rng(0)
    batch = {"input_ids": rng.integers(0, 30, (2, 11)), "targets": rng.integers(0, 30, (2, 11))}
    batch["targets"][0, :3] = -100
    out = model(input_ids=torch.tensor(batch["input_ids"]))
    loss = torch.nn.functional.cross_entropy(out.logits.flatten(0, 1), torch.tensor(batch["targets"]).flatten())
    loss = loss + config.router_aux_loss_coef * out.aux_loss
    loss.backward()
    weights = as_on_the_hub({name: parameter.detach().numpy() for name, parameter in model.named_parameters()})
    gradients = as_on_the_hub({name: parameter.grad.numpy() for name, parameter in model.named_parameters()})
    logits = out.logits.detach().numpy()
    return Example({**config.to_diff_dict(), "model_type": "mixtral"}, weights, batch, logits, loss.item(), gradients)


def as_on_the_hub(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The stacked experts of transformers 5 one by one, as files hold them."""
    named = {}
    for name, array in arrays.items():
        stem = name.replace(".mlp.", ".block_sparse_moe.").rpartition(".")[0]
        for number, matrix in enumerate(array if ".experts." in name else []):
            if name.endswith("gate_up_proj"):
                named[f"{stem}.{number}.w1.weight"], named[f"{stem}.{number}.w3.weight"] = np.split(matrix, 2)
            else:
                named[f"{stem}.{number}.w2.weight"] = matrix
        if ".experts." not in name:
            named[f"{stem}.weight"] = array
    return named


def as_in_bart(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """nn.Transformer's parameters by the names of our files; those of attention are cut apart, its biases left out."""
    named = {}
    for name, array in arrays.items():
        if name.endswith(("in_proj_bias", "out_proj.bias")):
            continue
        theirs = ["multihead_attn", "linear1", "linear2"]
        ours = ["encoder_attn", "fc1", "fc2"]
        if "encoder" in name.split("."):
            theirs, ours = [*theirs, "norm1", "norm2"], [*ours, "self_attn_layer_norm", "final_layer_norm"]
        else:
            theirs += ["norm1", "norm2", "norm3"]
            ours += ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"]
        for other, own in zip(theirs, ours, strict=True):
            name = name.replace(f".{other}.", f".{own}.")
        if name.endswith("in_proj_weight"):
            for part, rows in zip("qkv", np.split(array, 3), strict=True):
                named[name.replace("in_proj", f"{part}_proj").replace("_weight", ".weight")] = rows.copy()
        else:
            named[name] = array
    return named


def source_and_target() -> dict[str, np.ndarray]:
    """Two texts of unlike lengths, each with a translation."""
    rng = np.random.default_rng(0)
    ids, targets = rng.integers(0, 30, (2, 11)), rng.integers(0, 30, (2, 9))
    mask = np.ones((2, 11), bool)
    mask[1, 7:] = False
    targets[0, 6:] = -100
    return {"input_ids": ids, "targets": targets, "attention_mask": mask}


FAMILIES: dict[str, Callable[[], Example]] = {
    "bert": lambda: bert("BertForPreTraining"),
    "bert_masked": lambda: bert("BertForMaskedLM"),
    "bert_texts": lambda: bert("BertForSequenceClassification", classes=3),
    "bert_number": lambda: bert("BertForSequenceClassification", classes=1),
    "bert_tokens": lambda: bert("BertForTokenClassification", classes=5),
    "bert_answers": lambda: bert("BertForQuestionAnswering"),
    "gpt2": gpt2,
    "gpt2_untied": lambda: gpt2(is_tied=False),
    "llama": llama,
    "llama_untied": lambda: llama(is_tied=False),
    "mixtral": mixtral,
    "t5": t5,
    "t5_v1_1": lambda: t5("gated-gelu", is_tied=False),
    "transformer": transformer,
}


def main(names: list[str]) -> None:
    for name in names or FAMILIES:
        FAMILIES[name]().save(name)


if __name__ == "__main__":
    main(sys.argv[1:])
