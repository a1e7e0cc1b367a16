"""Texts that tokenizers trip over, for several test files: drawn by Hypothesis, and real ones."""

from functools import cache

from hypothesis import strategies as st

from scratchgrad.tools import tokenizer as tokenizers

TEXT = """The tokenizer reads the text, and the text reads like this: the cat's hat isn't 12345 hats.
def tokenize(text, *, pattern="gpt4"):\n    return [piece for piece in pattern.findall(text)]\n\n\n
Größe, naïveté, 東京 and 🙂🙂 are text as well; so is the end of the text. They'll they've THEY'RE.
"""
SPECIAL = ("<|endoftext|>", "<|user|>", "pad")

# Peers bring tables of younger or older versions of Unicode; unassigned characters (Cn) are where those differ.
any_text = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=60)

_ODD = [
    " ", "  ", "\n", "\r\n", "\t", "\x0b", "\x1c", "\x1f", "\x85", "\u00a0", "\u2028", "\u3000", "\u200b", "\ufeff", "\0", "\x7f",
    "é", "e\u0301", "\u0301", "ß", "ſ", "İ", "Σ", "ς", "'S", "'ſ", "'ll", "'RE", "’s", "١٢٣٤", "½", "²", "ⅷ", "𝟘", "🙂", "👩‍👩‍👧", "🇩🇪",
    "東京", "한국", "\u1100\u1161", "ｶﾞ", "ﬁ", "▁", "▁▁", "...", "!!", "/", "//\n", "$^`", "§¶", "\ufffd", "\ue000", "ก็", "नमस्ते",
    "<|endoftext|>", "<|user|>", "<s>", "</s>", "<unk>", "<0x0A>", "[CLS]", "[MASK]", "<pad>", "AbcDEF", "aB1c", "1234567",
]  # fmt: skip

mutated = st.lists(st.sampled_from([*TEXT.split(" "), *_ODD, " ", " "]), max_size=20).map("".join)


def hard_texts(data_folder):
    """Real texts: many scripts, naughty strings, half characters; what is no UTF-8 in them became U+FFFD."""
    for path in sorted((data_folder / "07_tokenizer_text").iterdir()):
        yield path.read_bytes().decode(errors="replace")[:20_000]


@cache
def load(path):
    """A real vocabulary, read once for all tests."""
    return tokenizers.load(path)
