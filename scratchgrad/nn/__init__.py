"""Modules: the parts that models are made of, and the tree that holds their parameters."""

from typing import TYPE_CHECKING, Any

from scratchgrad.nn.activations import GELU, Flatten, ReLU, Sigmoid, SiLU, Softmax, Tanh
from scratchgrad.nn.attention import MultiheadAttention
from scratchgrad.nn.containers import ModuleList, Sequential
from scratchgrad.nn.init import Constant, Normal, Uniform, shapes_only
from scratchgrad.nn.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm
from scratchgrad.nn.module import Module, Parameter
from scratchgrad.pytorch_names import missing_from

__all__ = [
    "GELU", "Constant", "Dropout", "Embedding", "Flatten", "LayerNorm", "Linear", "Module", "ModuleList",
    "MultiheadAttention", "Normal", "Parameter", "RMSNorm", "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "Tanh",
    "Uniform", "shapes_only",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker knows what there is

    def __getattr__(name: str) -> Any:
        raise missing_from("scratchgrad.nn", name, __all__)
