"""Learning merges from counted pieces: merge the most frequent pair of neighbours, again and again.

Sennrich et al. 2016, on bytes. Pair counts are kept up to date place by place, and the most frequent pair is found by a
heap whose entries are put right when they come up (as Hugging Face's trainer does, whose merges these are).
"""

from __future__ import annotations

import gc
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

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
ID, PAIR = 32, 64
ID_BITS, PAIR_BITS = (1 << ID) - 1, (1 << PAIR) - 1

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
    special = len(special_tokens)
    tokens = [*(text.encode() for text in special_tokens), *(bytes([byte]) for byte in BYTE_ORDER)]
    byte_ids = [0] * 256
    for place, byte in enumerate(BYTE_ORDER):
        byte_ids[byte] = special + place
    with _no_garbage_collection():
        long = {piece: count for piece, count in counts.items() if len(piece) > 1 or not piece.isascii()}
        words = [[byte_ids[byte] for byte in piece.encode()] for piece in long]
        merges = _learn(words, list(long.values()), tokens, special, vocab_size, progress)
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
    words: list[list[int]], counts: list[int], tokens: list[bytes], special: int, size: int, progress: Progress | None
) -> list[Merge]:
    """Append merged tokens to `tokens`, whose first are `special` ones, until there are `size`, or no pair is left; the
    merges in order. Words are merged in place.
    """
    id_of = {token: i for i, token in enumerate(tokens)}
    pair_counts, words_with = _pairs(words, counts)
    heap = [pair - (count << PAIR) for pair, count in pair_counts.items()]
    heapq.heapify(heap)
    merges: list[Merge] = []
    while len(tokens) < size and heap:
        entry = heapq.heappop(heap)
        pair, claimed = entry & PAIR_BITS, -(entry >> PAIR)
        count = pair_counts[pair]
        if count != claimed:
            if count > 0:
                heapq.heappush(heap, pair - (count << PAIR))
            continue
        left, right = pair >> ID, pair & ID_BITS
        spelled = tokens[left] + tokens[right]
        merged = id_of.get(spelled)  # two pairs may spell the same bytes: one token
        if merged is not None and merged < special:
            continue  # text that spells a special token must not become one
        if merged is None:
            merged = id_of[spelled] = len(tokens)
            tokens.append(spelled)
            if progress is not None and merged % 1000 == 0:
                progress(merged)
        merges.append((left, right, merged))
        risen: defaultdict[int, int] = defaultdict(int)
        merged_and, right_and = merged << ID, right << ID
        for number in words_with.pop(pair):
            word, weight = words[number], counts[number]
            i, last = 0, len(word) - 1
            while i < last:
                if word[i] == left and word[i + 1] == right:
                    word[i] = merged
                    del word[i + 1]
                    last -= 1
                    if i > 0:
                        before_and = word[i - 1] << ID
                        pair_counts[before_and | left] -= weight
                        new = before_and | merged
                        risen[new] += weight
                        words_with[new].append(number)
                    if i < last:
                        after = word[i + 1]
                        pair_counts[right_and | after] -= weight
                        new = merged_and | after
                        risen[new] += weight
                        words_with[new].append(number)
                i += 1
        pair_counts[pair] = 0
        for new, weight in risen.items():
            count = pair_counts[new] = pair_counts[new] + weight
            if count > 0:
                heapq.heappush(heap, new - (count << PAIR))
    return merges


def _pairs(words: list[list[int]], counts: list[int]) -> tuple[defaultdict[int, int], defaultdict[int, list[int]]]:
    """How often each pair occurs, and the numbers of the words that it occurs in (some twice)."""
    pair_counts: defaultdict[int, int] = defaultdict(int)
    words_with: defaultdict[int, list[int]] = defaultdict(list)
    for number, (word, weight) in enumerate(zip(words, counts, strict=True)):
        left = word[0]
        for right in word[1:]:
            pair = left << ID | right
            pair_counts[pair] += weight
            words_with[pair].append(number)
            left = right
    return pair_counts, words_with


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
