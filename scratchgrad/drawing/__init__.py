"""Autograd that can be seen: the record of a computation as a picture, and its backward pass step by step."""

from scratchgrad.drawing.memory import memory_table
from scratchgrad.drawing.picture import Drawing, draw
from scratchgrad.drawing.player import Player, play_backward

__all__ = ["Drawing", "Player", "draw", "memory_table", "play_backward"]
