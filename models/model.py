"""What every model family has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Self

from scratchgrad.backend import Device, device_of
from scratchgrad.models.config import ModelConfig
from scratchgrad.models.weights import WeightMap
from scratchgrad.nn import Module, shapes_only
from scratchgrad.packed_weights import PackedModel


class Model(Module):
    """A family defines its config, its modules, and `weight_map`. It is built as Family(config, dropout=0.1).

    architecture: its name in Hugging Face's config.json; a class without one only helps others. is_default: of several
    architectures of one config, this is meant where none is named. bare_architecture: the name of the model without its
    output layer, which is the embedding where the config ties them. base_model_prefix: what stands before tensor names
    in Hugging Face's files, unless the bare model was saved without its head. keys_to_ignore_on_load: patterns of
    tensor names in such files that this model does not need. older_names: substrings of tensor names in older files,
    and what they are called now. head_modules: the modules behind the embeddings and the blocks, which belong to what
    the model is trained for; another architecture of the same family has others. Names that a model lacks are no fault.
    """

    config_class: ClassVar[type[ModelConfig]]
    architecture: ClassVar[str]
    is_default: ClassVar[bool] = False
    bare_architecture: ClassVar[str | None] = None
    base_model_prefix: ClassVar[str] = ""
    keys_to_ignore_on_load: ClassVar[tuple[str, ...]] = ()
    older_names: ClassVar[dict[str, str]] = {}
    head_modules: ClassVar[tuple[str, ...]] = ()

    recompute_every = 0  # blocks that are forgotten and run again as one in the backward pass; 0 keeps all

    def __init__(self, config: Any, *, dropout: float = 0.0) -> None:
        self.config = config
        self.packed_weights = PackedModel()  # what decoding needs of the weights, in another order

    def generation_config(self, end: int) -> dict[str, int]:
        """A generation_config.json for text that `end` stands between, as in training."""
        return {"bos_token_id": end, "eos_token_id": end}

    @classmethod
    def with_shapes_only(cls, config: Any, *, dropout: float = 0.0) -> Self:
        """The model without memory for its weights, which are drawn or read later; its modules know their names."""
        with shapes_only():
            model = cls(config, dropout=dropout)
        model.set_qualified_names()
        return model

    @classmethod
    def for_files(cls, config: Mapping[str, Any]) -> type[Model]:
        """The class of the model in files whose config.json says this, and leads to this class by its architecture."""
        return cls

    @classmethod
    def config_values(cls, values: Mapping[str, Any], stored: Collection[str]) -> Mapping[str, Any]:
        """What a config.json says, where the names of the stored tensors tell more of it."""
        return values

    @staticmethod
    def weight_map(config: Any) -> WeightMap:
        """Our parameters, each with the Hugging Face tensors that it is made of."""
        raise TypeError("a family defines its weight_map()")

    def head_parameters(self) -> list[str]:
        """The names of the parameters of the head; a tied output layer is the embedding, and none of them."""
        inside = tuple(f"{name}." for name in self.head_modules)
        return [name for name, _ in self.named_parameters() if name.startswith(inside)]

    def hugging_face_refusal(self) -> str | None:
        """Why Hugging Face has no class for this model; None where it has one."""
        refusal: str | None = self.config.hugging_face_refusal()
        return refusal

    @property
    def device(self) -> Device:
        return device_of(next(self.parameters()).data)
