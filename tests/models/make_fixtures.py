"""Small examples of what other implementations compute, kept in fixtures/ so that tests need not have them installed.

    python -m tests.models.make_fixtures            all of them
    python -m tests.models.make_fixtures bert_masked

One function for each: it makes an example with the other implementation (PyTorch, transformers) at hand. The tests call
the same functions where that is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

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
        input_ids=torch.tensor(batch["ids"]),
        token_type_ids=torch.tensor(batch["token_types"]),
        attention_mask=torch.tensor(batch["mask"][:, 0, 0]).long(),
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


def marked_texts(architecture: str, classes: int) -> dict[str, np.ndarray]:
    """What the loss of this architecture takes."""
    rng = np.random.default_rng(0)
    mask = np.ones((2, 1, 1, 11), bool)
    mask[1, ..., 7:] = False
    batch = {
        "ids": rng.integers(1, 30, (2, 11)),
        "token_types": np.repeat([[0, 1]], [4, 7], 1).repeat(2, 0),
        "mask": mask,
    }
    if architecture == "BertForQuestionAnswering":
        return {**batch, "targets": np.array([[2, 5], [0, 6]])}
    if architecture == "BertForSequenceClassification":
        return {**batch, "targets": np.array([1, 2]) if classes > 1 else np.array([0.5, -1.5], np.float32)}
    targets = rng.integers(0, classes if architecture == "BertForTokenClassification" else 30, (2, 11))
    batch["targets"] = np.where(mask[:, 0, 0] & (rng.random((2, 11)) < 0.5), targets, -100)
    if architecture == "BertForPreTraining":
        batch["next_sentence_targets"] = np.array([1, 0])
    return batch


FAMILIES: dict[str, Callable[[], Example]] = {
    "bert": lambda: bert("BertForPreTraining"),
    "bert_masked": lambda: bert("BertForMaskedLM"),
    "bert_texts": lambda: bert("BertForSequenceClassification", classes=3),
    "bert_number": lambda: bert("BertForSequenceClassification", classes=1),
    "bert_tokens": lambda: bert("BertForTokenClassification", classes=5),
    "bert_answers": lambda: bert("BertForQuestionAnswering"),
}


def main(names: list[str]) -> None:
    for name in names or FAMILIES:
        FAMILIES[name]().save(name)


if __name__ == "__main__":
    main(sys.argv[1:])
