"""Supervised fine-tuning on chats and instructions: what assistants say is learnt (Ouyang et al. 2022, section 3.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchgrad import Tensor
from scratchgrad.errors import UserError
from scratchgrad.models import AuxOutputs, Decoder
from scratchgrad.models.output import output_cross_entropy
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.data import TokenizedExample, TokenStore
from scratchgrad.tools.data.chat import ChatSource, messages_of
from scratchgrad.tools.text import Example, Source
from scratchgrad.train.batches import Array, Batch, BatchField, pad_rows
from scratchgrad.train.chat_recipe import ChatRecipe
from scratchgrad.train.objectives.objective import (
    INPUT_IDS,
    TARGETS,
    LossOutput,
    Objective,
    num_correct_tokens,
    output_of,
)
from scratchgrad.train.packing import PackedBatches, best_fit

POSITION_IDS = BatchField("(batch, time)", np.int64)  # 0 where a chat begins
LONGEST_SAMPLE = 600  # characters that are shown


class Fitting(NamedTuple):
    """Which examples of a store are learnt from.

    kept: their numbers. lengths: the tokens of each of these in a row. too_long: how many have more tokens than a row
    has room for. without_target: how many, once cut, have nothing left to learn. trained: how many tokens are targets.
    """

    kept: list[int]
    lengths: list[int]
    too_long: int
    without_target: int
    trained: int


class SFT(Objective):
    """Chats of any format that `chat/records.py` knows, laid out by the recipe's section `chat`.

    Targets are where the mask of the template says, whatever their ids: the end of a turn is learnt even if the token
    that fills rows up is the same. Tokens of prompts are read, and ask for nothing.
    """

    fields = ("messages",)
    text_fields = ("text",)
    trains = (Decoder,)
    sections = ("chat",)

    def __init__(self, *arguments: Any, chat: ChatRecipe | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.chat = chat or ChatRecipe()
        self.template = self.chat.build(self.layout.tokenizer)
        packed = {"position_ids": POSITION_IDS} if self.chat.pack else {}
        self.batch_fields: Mapping[str, BatchField] = {"input_ids": INPUT_IDS, "targets": TARGETS, **packed}

    @classmethod
    def reads(cls, source: Source) -> Source:
        return ChatSource(source)

    def encode(self, example: Example) -> TokenizedExample:
        encoded = self.template.encode(messages_of(example), self.layout.tokenizer)
        if not encoded.is_target[1:].any():
            raise UserError(f"'{example.name}': nothing to learn: the chat template makes no target of it")
        return encoded

    def batches(self, stores: Sequence[TokenStore], weights: Sequence[float]) -> PackedBatches:
        """UserError where a store has no example that is learnt from."""
        rows: list[list[list[int]]] = []
        for store in stores:
            fitting = self.fitting(store)
            if not fitting.kept:
                name = store.folder.name.partition("-")[0]
                raise UserError(
                    f"of {len(store)} {name} chats {fitting.too_long} are longer than train.context = {self.context} "
                    f"tokens, and none is left to learn from (chat.oversize = {self.chat.oversize}): raise "
                    "train.context, or change the data"
                )
            packed = best_fit(fitting.kept, fitting.lengths, self.context) if self.chat.pack else None
            rows.append(packed or [[number] for number in fitting.kept])
        return PackedBatches(stores, rows, weights, self.batch, longest=self.context + 1, seed=self.seed)

    def fitting(self, store: TokenStore) -> Fitting:
        """A chat of n tokens takes n - 1 of a row: its last one is not read, its first not asked for."""
        sizes = np.diff(store.offsets)
        is_long = sizes > self.context + 1
        kept, lengths, without, trained = [], [], 0, 0
        for number, size in enumerate(np.minimum(sizes, self.context + 1)):
            start = int(store.offsets[number])
            targets = int(np.count_nonzero(store.is_target[start + 1 : start + size]))
            if is_long[number] and self.chat.oversize == "drop":
                continue
            if not targets:
                without += 1
                continue
            kept.append(number)
            lengths.append(int(size) - 1)
            trained += targets
        return Fitting(kept, lengths, int(is_long.sum()), without, trained)

    def told_at_start(self, stores: Sequence[TokenStore]) -> list[str]:
        fittings = [self.fitting(store) for store in stores]
        trained, tokens = sum(f.trained for f in fittings), sum(sum(f.lengths) for f in fittings)
        chats, too_long = sum(len(f.kept) for f in fittings), sum(f.too_long for f in fittings)
        lines = [f"{chats:,} chats: {trained:,} of {tokens:,} tokens are trained ({trained / max(tokens, 1):.1%})"]
        if too_long:
            without, what = sum(f.without_target for f in fittings), "left out"
            if self.chat.oversize == "cut":
                what = f"cut, {without:,} of them left out as no answer was left"
            lines.append(f"{too_long:,} chats are longer than train.context = {self.context} tokens: {what}")
        source = next(place for place, fitting in enumerate(fittings) if fitting.kept)
        lines.append(f"the first, with what is trained in »«: {self.shown(stores[source][fittings[source].kept[0]])}")
        return lines

    def shown(self, example: TokenizedExample) -> str:
        """What a model reads, in one line, with targets between » and «."""
        ids, is_target = example.ids[: self.context + 1], example.is_target[: self.context + 1]
        cuts = np.flatnonzero(np.diff(is_target.astype(np.int8))) + 1
        decode, pieces = self.layout.tokenizer.decode, []
        for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
            text = decode(ids[start:end].tolist()).replace("\n", "⏎")
            pieces.append(f"»{text}«" if is_target[start] else text)
        whole = "".join(pieces)
        return whole if len(whole) <= LONGEST_SAMPLE else f"{whole[:LONGEST_SAMPLE]}..."

    def batch(self, rows: Sequence[Sequence[TokenizedExample]]) -> Batch:
        """Chats one after another, padded to the longest row; none is asked for the first token of the next."""
        padding = self.layout.tokenizer.padding
        ids = [np.concatenate([chat.ids[:-1] for chat in row]) for row in rows]
        batch = {
            "input_ids": pad_rows(ids, self.layout.end if padding is None else padding),
            "targets": pad_rows([np.concatenate([_targets(chat) for chat in row]) for row in rows], IGNORE_INDEX),
        }
        if self.chat.pack:
            places = [np.concatenate([np.arange(len(chat) - 1) for chat in row]) for row in rows]
            batch["position_ids"] = pad_rows(places, int(POSITION_IDS.padding))
        return batch

    def loss(self, model: Decoder, batch: Mapping[str, Tensor]) -> LossOutput:
        """token_accuracy: of targets, each given all before it."""
        aux, targets = AuxOutputs(), batch["targets"]
        states = model.hidden_states(batch["input_ids"], aux=aux, position_ids=batch.get("position_ids"))
        loss = output_cross_entropy(model.lm_head, states, targets, label_smoothing=self.smoothing(model))
        scores = {} if model.training else {"token_accuracy": num_correct_tokens(model.lm_head, states, targets)}
        return output_of(loss, targets, aux, scores)


def _targets(chat: TokenizedExample) -> Array:
    out: Array = np.where(chat.is_target, chat.ids, IGNORE_INDEX)[1:]
    return out
