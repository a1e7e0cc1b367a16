"""What the config of a model that classifies says, in Hugging Face's names."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Labels(BaseModel):
    """id2label names the classes of a head that classifies: there are two where it is left out."""

    id2label: dict[str, str] | None = Field(default=None, min_length=1)
    label2id: dict[str, int] | None = None
    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] | None = None

    @property
    def num_labels(self) -> int:
        return 2 if self.id2label is None else len(self.id2label)

    @property
    def is_regression(self) -> bool:
        """Are labels of whole texts numbers, and no classes?"""
        return self.problem_type == "regression" or (self.problem_type is None and self.num_labels == 1)

    @property
    def is_multi_label(self) -> bool:
        """May a text have several labels, or none?"""
        return self.problem_type == "multi_label_classification"
