"""Modules: the parts that models are made of, and the tree that holds their parameters."""

from scratchgrad.nn.init import Constant, Normal, shapes_only
from scratchgrad.nn.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm
from scratchgrad.nn.module import Module, Parameter

__all__ = [
    "Constant", "Dropout", "Embedding", "LayerNorm", "Linear", "Module", "Normal", "Parameter", "RMSNorm",
    "shapes_only",
]  # fmt: skip
