"""Modules: the parts that models are made of, and the tree that holds their parameters."""

from scratchgrad.nn.activations import GELU, Flatten, ReLU, Sigmoid, SiLU, Softmax, Tanh
from scratchgrad.nn.attention import MultiheadAttention
from scratchgrad.nn.containers import ModuleList, Sequential
from scratchgrad.nn.init import Constant, Normal, Uniform, shapes_only
from scratchgrad.nn.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm
from scratchgrad.nn.module import Module, Parameter

__all__ = [
    "GELU", "Constant", "Dropout", "Embedding", "Flatten", "LayerNorm", "Linear", "Module", "ModuleList",
    "MultiheadAttention", "Normal", "Parameter", "RMSNorm", "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "Tanh",
    "Uniform", "shapes_only",
]  # fmt: skip
