"""Learning merges from counted pieces: merge the most frequent pair of neighbours, again and again.

Sennrich et al. 2016, on bytes. Pair counts are kept up to date place by place, and the most frequent pair is found by a
heap whose entries are put right when they come up (as Hugging Face's trainer does, whose merges these are).

All words lie in one list, a place for each byte and one between words. A token's id stands where it begins and where it
ends, and `GONE` inside. So its neighbours are one step away, and nothing is moved when two tokens are merged.
"""

from __future__ import annotations

import gc
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.byte_alphabet import BYTE_ORDER
from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE
from scratchgrad.tools.tokenizer.counting import count_pieces
from scratchgrad.tools.tokenizer.merging import Merge
from scratchgrad.tools.tokenizer.vocabulary import added_from

END_OF_TEXT = "<|endoftext|>"
LARGEST_VOCABULARY = 1 << 24

# A pair of ids is one number, left << ID | right, and so is a heap entry, pair - (count << PAIR): of two entries the
# smaller has the larger count, or among equal counts the smaller ids.
ID, PAIR = 24, 48
ID_BITS, PAIR_BITS = (1 << ID) - 1, (1 << PAIR) - 1

BETWEEN = b"\xff"  # words: a byte that UTF-8 never has
GONE = -1  # where no token begins or ends

Progress = Callable[[int], object]


def train_bpe(
    texts: Iterable[str],
    vocab_size: int,
    *,
    pattern: str = "gpt4",
    special_tokens: Sequence[str] = (END_OF_TEXT,),
    workers: int = 1,
) -> ByteLevelBPE:
    """A byte-level BPE tokenizer of at most `vocab_size` tokens: special tokens, 256 bytes, then merges.

    It has fewer where the text holds no more pairs. Of equally frequent pairs the one with the smaller ids comes first:
    the result depends on the text alone, not on `workers`, which count pieces in processes of their own.
    """
    check_size(vocab_size, special_tokens)
    counts = count_pieces(texts, pattern, workers).counts
    return learn_bpe(counts, vocab_size, pattern=pattern, special_tokens=special_tokens)


def learn_bpe(
    counts: Counter[str],
    vocab_size: int,
    *,
    pattern: str = "gpt4",
    special_tokens: Sequence[str] = (END_OF_TEXT,),
    progress: Progress | None = None,
) -> ByteLevelBPE:
    """As `train_bpe`, from counted pieces; `progress` hears how many tokens there are."""
    check_size(vocab_size, special_tokens)
    tokens = [*(text.encode() for text in special_tokens), *(bytes([byte]) for byte in BYTE_ORDER)]
    with _no_garbage_collection():
        merges = _learn(counts, tokens, len(special_tokens), vocab_size, progress)
    return ByteLevelBPE(tokens, merges, added_from({text: i for i, text in enumerate(special_tokens)}), pattern)


def check_size(vocab_size: int, special_tokens: Sequence[str]) -> None:
    """UserError for a vocabulary below its alphabet, or special tokens that are no tokens or not all different."""
    least = 256 + len(special_tokens)
    if vocab_size < least:
        raise UserError(f"a vocabulary of {vocab_size} is too small: bytes and special tokens alone are {least}")
    if vocab_size > LARGEST_VOCABULARY:
        raise UserError(f"a vocabulary of {vocab_size} is too large: at most {LARGEST_VOCABULARY:,} tokens are learnt")
    if len(set(special_tokens)) != len(special_tokens) or not all(special_tokens):
        raise UserError(
            f"the special tokens {', '.join(map(repr, special_tokens))} are not all different, or one is empty"
        )


def _learn(
    counts: Counter[str], tokens: list[bytes], special: int, size: int, progress: Progress | None
) -> list[Merge]:
    """Append merged tokens to `tokens`, whose first are `special` ones, until there are `size`, or no pair is left; the
    merges in order.
    """
    id_of = {token: i for i, token in enumerate(tokens)}
    text = BETWEEN.join([b"", *(piece.encode() for piece in counts), b""])
    weights = [0]  # of each place: how often its word occurs
    for word, count in zip(text.split(BETWEEN)[1:-1], counts.values(), strict=True):
        weights += [count] * (len(word) + 1)
    id_of_byte = [id_of[bytes([byte])] for byte in range(256)]
    id_of_byte[BETWEEN[0]] = GONE
    ids = list(map(id_of_byte.__getitem__, text))
    weight = weights.__getitem__
    places_of = _places(text, id_of_byte)
    pair_counts = defaultdict(int, {pair: sum(map(weight, places)) for pair, places in places_of.items()})
    floor = 4 * max(pair_counts.values(), default=0)  # rarer pairs are not in the heap yet; most will never be merged
    heap: list[int] = []
    lengths = [len(token) for token in tokens]
    merges: list[Merge] = []
    while len(tokens) < size and (heap or floor > 1):
        if not heap:
            floor = max(1, floor // 4)
            heap = [pair - (count << PAIR) for pair, count in pair_counts.items() if count >= floor]
            heapq.heapify(heap)
            continue
        pair, claimed = heap[0] & PAIR_BITS, -(heap[0] >> PAIR)
        count = pair_counts[pair]
        if floor <= count < claimed:
            heapq.heapreplace(heap, pair - (count << PAIR))
            continue
        heapq.heappop(heap)
        if count != claimed:
            continue
        left, right = pair >> ID, pair & ID_BITS
        spelled = tokens[left] + tokens[right]
        merged = id_of.get(spelled)  # two pairs may spell the same bytes: one token
        if merged is not None and merged < special:
            continue  # text that spells a special token must not become one
        if merged is None:
            merged = id_of[spelled] = len(tokens)
            tokens.append(spelled)
            lengths.append(len(spelled))
            if progress is not None and merged % 1000 == 0:
                progress(merged)
        merges.append((left, right, merged))

        before: defaultdict[int, list[int]] = defaultdict(list)  # id: where it begins
        after: defaultdict[int, list[int]] = defaultdict(list)  # id: where the merged token before it begins
        left_size, merged_size = lengths[left], len(spelled)
        # Bytes that are in one token stay together. So where `left` began once and stands now, it still begins.
        places = places_of.pop(pair)
        if left == right:
            places.sort()  # of a row of the same token the first two are merged
        for place in places:
            middle, end = place + left_size, place + merged_size
            if ids[place] == left and ids[middle] == right:
                ids[middle - 1] = ids[middle] = GONE
                ids[place] = ids[end - 1] = merged
                if (neighbour := ids[place - 1]) >= 0:
                    before[neighbour].append(place - lengths[neighbour])
                if (neighbour := ids[end]) >= 0:
                    after[neighbour].append(place)
        changes = [(i << ID | left, i << ID | merged, places) for i, places in before.items()]
        changes += [(right << ID | i, merged << ID | i, places) for i, places in after.items()]
        for old, new, places in changes:
            change = sum(map(weight, places))
            pair_counts[old] -= change
            count = pair_counts[new] = pair_counts[new] + change
            if new in places_of:
                places_of[new] += places
            else:
                places_of[new] = places
            if count >= floor:
                heapq.heappush(heap, new - (count << PAIR))
        pair_counts[pair] = 0
    return merges


def _places(text: bytes, id_of_byte: list[int]) -> dict[int, list[int]]:
    """Where each pair of bytes begins in words with `BETWEEN` around them."""
    values = np.frombuffer(text, np.uint8)
    pairs = values[:-1].astype(np.uint16) << 8 | values[1:]
    found, counts = np.unique(pairs, return_counts=True)
    groups = np.split(np.argsort(pairs, kind="stable"), np.cumsum(counts))[:-1]
    places_of = {}
    for pair, places in zip(found.tolist(), groups, strict=True):
        left, right = id_of_byte[pair >> 8], id_of_byte[pair & 0xFF]
        if left != GONE and right != GONE:
            places_of[left << ID | right] = places.tolist()
    return places_of


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A million small lists that form no cycles would be looked through again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
