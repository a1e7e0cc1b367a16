"""What models are trained for: one file for each objective, by whose name a recipe chooses it."""

from scratchgrad.train.objectives.discovery import objective_for, objectives
from scratchgrad.train.objectives.objective import LossOutput, Objective, Scores, on_device

__all__ = ["LossOutput", "Objective", "Scores", "objective_for", "objectives", "on_device"]
