"""Text that appears while its ids are made, and ends before a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from scratchgrad.tools.tokenizer import Tokenizer


class TextStream:
    """Turns ids into text as it becomes certain: whole characters, and nothing that may yet begin a stop string.

    The text ends before the stop string that is complete first; `stopped` says that this has happened.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self._decoder, self._stops = tokenizer.stream_decoder(), stops
        self._held = ""
        self.stopped = False

    def feed(self, token: int) -> str:
        """What has become certain with this id."""
        return self._certain(self._decoder.feed(token))

    def finish(self) -> str:
        """What was held back, where no further id comes: U+FFFD for a character that was never completed."""
        if self.stopped:
            return ""
        text = self._certain(self._decoder.finish()) + self._held
        self._held = ""
        return text

    def _certain(self, text: str) -> str:
        self._held += text
        found = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            _, end = min(found)
            self.stopped = True
        else:
            end = len(self._held) - max((_overlap(self._held, stop) for stop in self._stops), default=0)
        text, self._held = self._held[:end], "" if found else self._held[end:]
        return text


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with, short of all of it."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
