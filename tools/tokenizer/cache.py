"""What a piece of text was encoded to, so that common words are worked out once."""

from __future__ import annotations

from collections.abc import Callable

MOST_PIECES = 1 << 18  # some 60 MB when full
LONGEST_PIECE = 64  # characters: longer ones do not come back often enough to be worth their place


class PieceCache(dict[str, list[int]]):
    """piece -> ids, made by `make` when first asked for (`cache[piece]`), and emptied when it is full.

    Threads may share one: each operation on a dict is atomic, and whoever finds a piece gone works it out again. Kept
    lists are never handed out to be changed. A copy sent to another process starts empty.
    """

    def __init__(self, make: Callable[[str], list[int]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, piece: str) -> list[int]:
        ids = self._make(piece)
        if len(piece) <= LONGEST_PIECE:
            if len(self) >= MOST_PIECES:
                self.clear()
            self[piece] = ids
        return ids

    def __reduce__(self) -> tuple[type[PieceCache], tuple[Callable[[str], list[int]]]]:
        return type(self), (self._make,)
