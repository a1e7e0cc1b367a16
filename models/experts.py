"""Experts in a config and in files: any family may have a mixture of experts where its feed-forward part stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from scratchgrad.models.config import ModelConfig
from scratchgrad.models.weights import HFTensor, WeightMap

MOE_PREFIX = "scratchgrad_moe_"  # before a family's model_type: with experts, which Hugging Face has no class for
MAX_EXPERTS = 512  # more than models have, and few enough that a config.json that lies about them costs little
IN_FEED_FORWARD = re.compile(r"(.*\.feed_forward)\.(\w+\.(?:weight|bias))")


class ExpertsConfig(ModelConfig):
    """What a mixture of experts needs to know, in Hugging Face's names; without `num_local_experts` there is none.

    norm_topk_prob: the weights of a token's experts add up to 1 (Mixtral); otherwise they are the router's
    probabilities (Switch). capacity_factor: at most so many times an even share of the choices for each expert, in
    training; None drops nothing. The two coefficients weigh the load-balance loss and the router's z loss, each the
    mean over layers.
    """

    num_local_experts: int | None = Field(default=None, gt=0, le=MAX_EXPERTS)
    num_experts_per_tok: int = Field(default=2, gt=0)
    norm_topk_prob: bool = True
    capacity_factor: float | None = Field(default=None, gt=0)
    router_aux_loss_coef: float = Field(default=0.001, ge=0)
    router_z_loss_coef: float = Field(default=0.0, ge=0)

    @property
    def saved_type(self) -> str:
        """The model_type in config.json."""
        return self.model_type if self.num_local_experts is None else MOE_PREFIX + self.model_type

    def hugging_face_refusal(self) -> str | None:
        if self.saved_type == self.model_type:
            return super().hugging_face_refusal()
        return f"Hugging Face has no class for a {self.model_type} with experts"

    @model_validator(mode="before")
    @classmethod
    def _only_with_experts(cls, values: dict[str, Any]) -> dict[str, Any]:
        model_type = str(values.get("model_type", ""))
        is_own = model_type.startswith(MOE_PREFIX)
        if values.get("num_local_experts", cls.model_fields["num_local_experts"].default) is None:
            for name in ExpertsConfig.__annotations__:
                if values.get(name) is not None:
                    raise ValueError(f"model.{name} is for experts: it needs model.num_local_experts")
            if is_own:
                raise ValueError(f"model.num_local_experts is missing, which a {model_type} has")
        return {**values, "model_type": model_type.removeprefix(MOE_PREFIX)} if is_own else values

    @model_validator(mode="after")
    def _enough_experts(self) -> Self:
        count, k = self.num_local_experts, self.num_experts_per_tok
        if count is not None and k > count:
            raise ValueError(f"model.num_experts_per_tok = {k} is more than model.num_local_experts = {count}")
        return self

    @model_serializer(mode="wrap")
    def _as_saved(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if self.num_local_experts is None:
            return {name: value for name, value in values.items() if name not in ExpertsConfig.__annotations__}
        return {**values, "model_type": self.saved_type}


def with_experts(dense: WeightMap, config: ExpertsConfig) -> WeightMap:
    """The weight map of a model with experts, from that of the same model without.

    `mlp.up_proj.weight` becomes `mlp.experts.N.up_proj.weight` for each expert N, and `mlp.router.weight` joins it.
    """
    if config.num_local_experts is None:
        return dense
    names: WeightMap = {}
    for name, hf_tensors in dense.items():
        found = IN_FEED_FORWARD.fullmatch(name)
        if found is None:
            names[name] = hf_tensors
            continue
        part, layer = found.groups()
        parent, _, _ = hf_tensors[0].name.rsplit(".", 2)
        names.setdefault(f"{part}.router.weight", [HFTensor(f"{parent}.router.weight", config.num_local_experts)])
        names[f"{part}.experts.{layer}"] = [
            _of_expert(n, hf_tensor) for n in range(config.num_local_experts) for hf_tensor in hf_tensors
        ]
    return names


def renamed(names: WeightMap, new: Mapping[str, str]) -> WeightMap:
    """The same map with other words between the dots of their names."""

    def rename(hf_tensor: HFTensor) -> HFTensor:
        return hf_tensor._replace(name=".".join(new.get(word, word) for word in hf_tensor.name.split(".")))

    return {name: [rename(hf_tensor) for hf_tensor in hf_tensors] for name, hf_tensors in names.items()}


def _of_expert(number: int, hf_tensor: HFTensor) -> HFTensor:
    parent, layer, kind = hf_tensor.name.rsplit(".", 2)
    return hf_tensor._replace(name=f"{parent}.experts.{number}.{layer}.{kind}")
