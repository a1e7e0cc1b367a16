"""What several formats must check: ids without gaps, merges that fit the vocabulary, added tokens that do not clash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.merging import Merge


def by_id(vocab: Mapping[str, int], added: Iterable[AddedToken]) -> list[str]:
    """The tokens in the order of their ids, added ones among them; UserError for a clash or a gap."""
    spelled: dict[int, str] = {}
    for text, i in vocab.items():
        if type(i) is not int or i < 0:
            raise UserError(f"the id of the token {text!r} is {i!r}, not a number from 0 on")
        if i in spelled:
            raise UserError(f"two tokens have the id {i}: {spelled[i]!r} and {text!r}")
        spelled[i] = text
    for token in added:
        known, other = vocab.get(token.text, token.id), spelled.get(token.id, token.text)
        if known != token.id:
            raise UserError(f"the added token {token.text!r} has the id {token.id}, and in the vocabulary {known}")
        if other != token.text:
            raise UserError(
                f"the added token {token.text!r} collides with the token {other!r}: both have the id {token.id}"
            )
        spelled[token.id] = token.text
    if len(spelled) != max(spelled, default=-1) + 1:
        gap = next(i for i in range(len(spelled)) if i not in spelled)
        raise UserError(f"ids must go from 0 to {len(spelled) - 1} without a gap; {gap} is missing")
    if not spelled:
        raise UserError("the vocabulary is empty")
    return [spelled[i] for i in range(len(spelled))]


def merges_of_pairs(pairs: Iterable[tuple[str, Sequence[str]]], id_of: Mapping[str, int]) -> list[Merge]:
    """Merges as ids. pairs: (where it stands, the two tokens as written); UserError where one does not fit."""
    merges: list[Merge] = []
    seen: dict[tuple[str, str], str] = {}
    for where, pair in pairs:
        if len(pair) != 2 or not all(isinstance(part, str) and part for part in pair):
            raise UserError(f"{where} ({_shown(pair)}) is not a pair")
        left, right = pair
        for part in (left, right, left + right):
            if part not in id_of:
                raise UserError(f"{where} ({_shown(pair)}) needs the token {part!r}, which is missing")
        if (left, right) in seen:
            raise UserError(f"{where} ({_shown(pair)}) stands there twice: first as {seen[left, right]}")
        seen[left, right] = where
        merges.append((id_of[left], id_of[right], id_of[left + right]))
    return merges


def added_from(special_tokens: Mapping[str, int]) -> list[AddedToken]:
    return [AddedToken(text, i) for text, i in special_tokens.items()]


def bytes_of(spelled: Sequence[str], added: Iterable[AddedToken], read: Callable[[str], bytes]) -> list[bytes | None]:
    """What each token stands for: an added one for its name, the others for what `read` makes of them."""
    beside = {token.id for token in added}
    return [text.encode() if i in beside else read(text) for i, text in enumerate(spelled)]


def _shown(pair: Sequence[str]) -> str:
    return repr(" ".join(map(str, pair)))
