"""What several formats must check: ids without gaps, merges that fit the vocabulary, added tokens that do not clash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.merging import Merge

LARGEST_ID = 1 << 22  # the largest known vocabularies have a sixteenth of it


def by_id(vocab: Mapping[str, int], added: Iterable[AddedToken]) -> list[str | None]:
    """The tokens by their ids, added ones among them; None for an id without one. UserError for a clash."""
    spelled: dict[int, str] = {}
    for text, i in vocab.items():
        if type(i) is not int or not 0 <= i < LARGEST_ID:
            raise UserError(
                f"the id of the token {quoted(text)} is {quoted(i)}, not a number from 0 to {LARGEST_ID - 1}"
            )
        if i in spelled:
            raise UserError(f"two tokens have the id {i}: {quoted(spelled[i])} and {quoted(text)}")
        spelled[i] = text
    for token in added:
        known, other = vocab.get(token.text, token.id), spelled.get(token.id, token.text)
        if known != token.id:
            raise UserError(
                f"the added token {quoted(token.text)} has the id {token.id}, and in the vocabulary {known}"
            )
        if other != token.text:
            raise UserError(
                f"the added token {quoted(token.text)} collides with the token {quoted(other)}: both have the id "
                f"{token.id}"
            )
        spelled[token.id] = token.text
    if not spelled:
        raise UserError("the vocabulary is empty")
    return [spelled.get(i) for i in range(max(spelled) + 1)]


def merges_of_pairs(
    pairs: Iterable[tuple[str, Sequence[str]]], id_of: Mapping[str, int], continues: str = ""
) -> list[Merge]:
    """Merges as ids. pairs: (where it stands, the two tokens as written); UserError where one does not fit.

    continues: what tokens that go on a word begin with, and lose where they are merged to what stands before them.
    """
    merges: list[Merge] = []
    seen: dict[tuple[str, str], str] = {}
    for where, pair in pairs:
        if (
            not isinstance(pair, (list, tuple))
            or len(pair) != 2
            or not all(isinstance(part, str) and part for part in pair)
        ):
            raise UserError(f"{where} ({_shown(pair)}) is not a pair")
        left, right = pair
        if not right.startswith(continues):
            raise UserError(f"{where} ({_shown(pair)}): what goes on a word begins with {quoted(continues)} here")
        both = left + right[len(continues) :]
        for part in (left, right, both):
            if part not in id_of:
                raise UserError(f"{where} ({_shown(pair)}) needs the token {quoted(part)}, which is missing")
        if (left, right) in seen:
            raise UserError(f"{where} ({_shown(pair)}) stands there twice: first as {seen[left, right]}")
        seen[left, right] = where
        merges.append((id_of[left], id_of[right], id_of[both]))
    return merges


def added_from(special_tokens: Mapping[str, int]) -> list[AddedToken]:
    return [AddedToken(text, i) for text, i in special_tokens.items()]


def bytes_of(
    spelled: Sequence[str | None], added: Iterable[AddedToken], read: Callable[[str], bytes]
) -> list[bytes | None]:
    """What each token stands for: an added one for its name, the others for what `read` makes of them."""
    beside = {token.id for token in added}
    return [None if text is None else text.encode() if i in beside else read(text) for i, text in enumerate(spelled)]


def _shown(pair: Sequence[str]) -> str:
    return quoted(" ".join(map(str, pair)) if isinstance(pair, (list, tuple)) else pair)
