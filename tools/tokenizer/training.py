"""Learning merges from text: count pieces once, then merge the most frequent pair again and again.

Sennrich et al. 2016, on bytes. Pair counts are kept up to date word by word, and the most frequent pair is found by a
heap whose entries are put right when they come up (as Hugging Face's trainer does, whose merges these are).
"""

from __future__ import annotations

import heapq
import itertools
import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.byte_alphabet import BYTE_ORDER
from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE
from scratchgrad.tools.tokenizer.patterns import cutter
from scratchgrad.tools.tokenizer.vocabulary import added_from

END_OF_TEXT = "<|endoftext|>"
LONGEST_PIECE = 512  # characters: a longer one is data in disguise (a base64 block, a ruler) and is not learnt from


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
    least = 256 + len(special_tokens)
    if vocab_size < least:
        raise UserError(f"a vocabulary of {vocab_size} is too small: bytes and special tokens alone are {least}")
    if len(set(special_tokens)) != len(special_tokens):
        raise UserError(f"the special tokens {', '.join(special_tokens)} are not all different")
    counts = count_pieces(texts, pattern, workers)
    first_byte = len(special_tokens)
    tokens = [*(text.encode() for text in special_tokens), *(bytes([byte]) for byte in BYTE_ORDER)]
    byte_ids = {byte: first_byte + place for place, byte in enumerate(BYTE_ORDER)}
    words = [[byte_ids[byte] for byte in piece.encode()] for piece in counts]
    merges = _learn(words, list(counts.values()), tokens, len(special_tokens), vocab_size)
    return ByteLevelBPE(tokens, merges, added_from({text: i for i, text in enumerate(special_tokens)}), pattern)


def count_pieces(texts: Iterable[str], pattern: str, workers: int = 1) -> Counter[str]:
    """How often each piece occurs."""
    cutter(pattern)  # a bad pattern is told here, not by a worker
    count = partial(_count, pattern)
    total: Counter[str] = Counter()
    if workers == 1:
        for counted in map(count, texts):
            total.update(counted)
        return total
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        for counted in pool.imap_unordered(count, texts, chunksize=16):
            total.update(counted)
    return total


def _count(pattern: str, text: str) -> Counter[str]:
    clean = text.encode("utf-8", "replace").decode()  # a lone surrogate has no bytes to learn
    return Counter(piece for piece in cutter(pattern)(clean) if len(piece) <= LONGEST_PIECE)


def _learn(
    words: list[list[int]], counts: list[int], tokens: list[bytes], special: int, size: int
) -> list[tuple[int, int, int]]:
    """Append merged tokens to `tokens`, whose first are `special` ones, until there are `size`, or no pair is left; the
    merges in order.
    """
    id_of = {token: i for i, token in enumerate(tokens)}
    pair_counts: Counter[tuple[int, int]] = Counter()
    words_with: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for number, word in enumerate(words):
        for pair in itertools.pairwise(word):
            pair_counts[pair] += counts[number]
            words_with[pair].add(number)
    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)
    merges: list[tuple[int, int, int]] = []
    while len(tokens) < size and heap:
        claimed, pair = heapq.heappop(heap)
        count = pair_counts[pair]
        if count != -claimed:
            if count > 0:
                heapq.heappush(heap, (-count, pair))
            continue
        spelled = tokens[pair[0]] + tokens[pair[1]]
        merged = id_of.get(spelled)  # two pairs may spell the same bytes: one token
        if merged is not None and merged < special:
            continue  # text that spells a special token must not become one
        if merged is None:
            merged = id_of[spelled] = len(tokens)
            tokens.append(spelled)
        merges.append((*pair, merged))
        changed: set[tuple[int, int]] = set()
        for number in words_with.pop(pair):
            word, weight = words[number], counts[number]
            for old in itertools.pairwise(word):
                pair_counts[old] -= weight
            word = words[number] = _merged(word, pair, merged)
            for new in itertools.pairwise(word):
                pair_counts[new] += weight
                if merged in new:
                    words_with[new].add(number)
                    changed.add(new)
        for new in changed:
            heapq.heappush(heap, (-pair_counts[new], new))
    return merges


def _merged(word: list[int], pair: tuple[int, int], token: int) -> list[int]:
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(token)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out
