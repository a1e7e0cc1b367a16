"""Modules: the parts that models are made of, and the tree that holds their parameters."""

from scratchgrad.nn.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm
from scratchgrad.nn.module import Module, Parameter

__all__ = ["Dropout", "Embedding", "LayerNorm", "Linear", "Module", "Parameter", "RMSNorm"]
