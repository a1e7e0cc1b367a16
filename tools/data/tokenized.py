"""An example as an objective encodes it: ids, which of them are targets, and what else it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Columns = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class TokenizedExample:
    """What a token store keeps of an example.

    ids (tokens,): of any integer dtype. is_target (tokens,) bool: the tokens that a model is trained to give; a prompt
    has none. columns: arrays by name, (tokens,) where they say something of each token, as token_type_ids do, and ()
    where they say it of the example, as a label does. Every example of a store has the same ones, of the same dtypes.
    """

    ids: Array
    is_target: Array
    columns: Columns = field(default_factory=dict)

    @classmethod
    def of(cls, *parts: tuple[Sequence[int] | Array, bool], **columns: Any) -> TokenizedExample:
        """Parts of ids one after another, each with whether its tokens are targets.

        The ids are of the dtype that holds those of all parts; what is no array counts as int64.
        """
        ids = np.concatenate(
            [part if isinstance(part, np.ndarray) else np.asarray(part, np.int64) for part, _ in parts]
        )
        is_target = np.repeat([counts for _, counts in parts], [len(part) for part, _ in parts])
        return cls(ids, is_target, {name: np.asarray(column) for name, column in columns.items()})

    def __len__(self) -> int:
        return len(self.ids)
