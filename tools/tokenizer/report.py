"""What a vocabulary makes of text: bytes per token, how much of it is used, its longest and rarest tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE


@dataclass(frozen=True)
class TokenizerReport:
    """Of text whose pieces were counted. used: tokens that occur in it at least once, special ones aside."""

    text_bytes: int
    tokens: int
    used: int
    longest: list[bytes]
    rarest: list[tuple[bytes, int]]  # with how often they occur

    @property
    def bytes_per_token(self) -> float:
        return self.text_bytes / self.tokens if self.tokens else 0.0


def report_on(tokenizer: ByteLevelBPE, counts: Counter[str], shown: int = 5) -> TokenizerReport:
    """Each different piece is encoded once. Among equals the token that was learnt first is shown."""
    occurs: Counter[int] = Counter()
    for piece, count in counts.items():
        for token in tokenizer.encode_piece(piece):
            occurs[token] += count
    special = set(tokenizer.special_tokens.values())
    ordinary = {i: token for i, token in enumerate(tokenizer.tokens) if token is not None and i not in special}
    learnt = [i for i in ordinary if len(ordinary[i]) > 1]
    longest = sorted(learnt, key=lambda i: (-len(ordinary[i]), i))[:shown]
    rarest = sorted(learnt, key=lambda i: (occurs[i], i))[:shown]
    return TokenizerReport(
        text_bytes=sum(len(ordinary[token]) * count for token, count in occurs.items()),
        tokens=occurs.total(),
        used=len(occurs),
        longest=[ordinary[i] for i in longest],
        rarest=[(ordinary[i], occurs[i]) for i in rarest],
    )
