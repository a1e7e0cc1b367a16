"""A text of any length in blocks that are trained on one after the other, cut where no piece of a pattern lies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import regex

BLOCK = 1 << 20  # characters, at least, of all blocks but the last

# Behind a letter or digit and before white space: no piece of GPT-2's, GPT-4's or GPT-4o's pattern holds such a place,
# and none of them looks back.
BORDER = regex.compile(r"(?<=[\p{L}\p{N}])(?=\s)")


def blocks(chunks: Iterable[str], size: int = BLOCK) -> Iterator[str]:
    """The text that the chunks make, in blocks of `size` to twice as many characters.

    Where a block ends depends on the text alone: at the first border after `size` characters, or where there is none,
    after twice `size`. A pattern of the user's own may see such an end inside what it would have matched.
    """
    held = ""
    for chunk in chunks:
        held += chunk
        while len(held) >= 2 * size:
            border = BORDER.search(held, size, 2 * size)
            end = border.start() if border is not None else 2 * size
            yield held[:end]
            held = held[end:]
    if held:
        yield held


def blocks_of_text(text: str, size: int = BLOCK) -> Iterator[str]:
    return blocks((text[start : start + size] for start in range(0, len(text), size)), size)
