"""Every kind of tokenizer.json that people train: the ids of Hugging Face's tokenizers, and a copy that gives them too."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.tools import tokenizer as tokenizers
from tests.tools.tokenizer_texts import TEXT, any_text, hard_texts, load, mutated

peer = pytest.importorskip("tokenizers", reason="the extra `bench` is not installed: no tokenizers to compare with")

decoders, models, normalizers, pre_tokenizers, processors, trainers = (
    getattr(peer, name)
    for name in ("decoders", "models", "normalizers", "pre_tokenizers", "processors", "trainers")
)  # fmt: skip
Regex = peer.Regex
LINES = [
    TEXT,
    TEXT[::-1],
    *TEXT.split("\n"),
    "abc 123 4567 the cat's hat, don't! Größe 東京 e\u0301 \u2581 under_score",
] * 2
BOTH = ["[UNK]", "[CLS]", "[SEP]", "<s>", "</s>", "[PAD]"]


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, **options})


def sequence(*steps):
    kind = pre_tokenizers if hasattr(pre_tokenizers, type(steps[0]).__name__) else normalizers
    return kind.Sequence(list(steps))


def bpe(size=420, alphabet=(), special=BOTH, **options):
    trained = {key: options[key] for key in ("continuing_subword_prefix", "end_of_word_suffix") if key in options}
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(special), initial_alphabet=list(alphabet), show_progress=False, **trained
    )
    return models.BPE(**options), trainer


def of_bytes(**options):
    return bpe(alphabet=pre_tokenizers.ByteLevel.alphabet(), **options)


def word_piece(**options):
    options = {"unk_token": "[UNK]", **options}
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=BOTH, show_progress=False)
    return models.WordPiece(**options), trainer


def unigram(**options):
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=[*BOTH, "<unk>"], unk_token="<unk>", show_progress=False
    )
    return models.Unigram(**options), trainer


def word_level():
    return models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(special_tokens=BOTH, show_progress=False)


def charsmap(data_folder):
    from scratchgrad.tools.tokenizer import protobuf
    from scratchgrad.tools.tokenizer.sentencepiece_file import CHARSMAP, NORMALIZER

    model = protobuf.fields((data_folder / "03_tokenizers/spm/t5_base.model").read_bytes())
    return protobuf.binary(protobuf.fields(protobuf.binary(model, NORMALIZER)), CHARSMAP)


N, P, D = normalizers, pre_tokenizers, decoders
# name: (model and trainer, normalizer, pre-tokenizer, decoder)
KINDS = {
    "bytes": (of_bytes, None, byte_level, D.ByteLevel),
    "bytes, no decoder": (of_bytes, None, byte_level, None),
    "bytes learnt from text": (bpe, None, byte_level, D.ByteLevel),
    "bytes, prefix space": (of_bytes, None, lambda: byte_level(add_prefix_space=True), D.ByteLevel),
    "bytes, digits": (of_bytes, None, lambda: sequence(P.Digits(True), byte_level()), D.ByteLevel),
    "bytes, digits together": (of_bytes, None, lambda: sequence(P.Digits(False), byte_level()), D.ByteLevel),
    "bytes, lower case": (of_bytes, lambda: sequence(N.NFD(), N.Lowercase(), N.StripAccents()), byte_level, D.ByteLevel),
    "bytes, whitespace": (of_bytes, None, lambda: sequence(P.WhitespaceSplit(), byte_level()), D.ByteLevel),
    "bytes, NFKC": (of_bytes, lambda: sequence(N.NFKC()), byte_level, D.ByteLevel),
    "bytes, split and digits": (of_bytes, None, lambda: sequence(
        P.Split(Regex(r"\p{N}{1,3}"), "isolated"), P.Split(Regex(r"[^\s]+"), "merged_with_previous"),
        byte_level(use_regex=False)), D.ByteLevel),
    "bytes, punctuation": (of_bytes, None, lambda: sequence(P.Punctuation("contiguous"), byte_level()), D.ByteLevel),
    "bytes, strip": (of_bytes, lambda: sequence(N.Strip(), N.Replace("the", "THE")), byte_level, D.ByteLevel),
    "characters, whitespace": (lambda: bpe(unk_token="[UNK]"), None, P.Whitespace, None),
    "characters, no unknown": (bpe, None, P.Whitespace, None),
    "characters, unknown fused": (lambda: bpe(unk_token="[UNK]", fuse_unk=True), None, P.Whitespace, None),
    "characters, all in one": (lambda: bpe(unk_token="[UNK]"), N.NFC, None, D.Fuse),
    "characters, end of word": (lambda: bpe(unk_token="[UNK]", end_of_word_suffix="</w>"), None, P.BertPreTokenizer,
        lambda: D.BPEDecoder(suffix="</w>")),
    "characters, goes on": (lambda: bpe(unk_token="[UNK]", continuing_subword_prefix="##"), None, P.Whitespace, D.WordPiece),
    "characters, Metaspace": (lambda: bpe(unk_token="[UNK]"), None, P.Metaspace, D.Metaspace),
    "characters, Metaspace first": (lambda: bpe(unk_token="[UNK]"), None, lambda: P.Metaspace(prepend_scheme="first"), D.Metaspace),
    "characters, Metaspace never": (lambda: bpe(unk_token="[UNK]"), N.Nmt,
        lambda: sequence(P.Metaspace(prepend_scheme="never", split=False), P.Digits()), D.Metaspace),
    "characters, delimiter": (lambda: bpe(unk_token="[UNK]"), lambda: N.Prepend("x"), lambda: P.CharDelimiterSplit("t"), None),
    "characters, bytes": (lambda: bpe(unk_token="[UNK]", byte_fallback=True, special=[*BOTH, *(f"<0x{b:02X}>" for b in range(256))], size=600),
        lambda: sequence(N.NFKC(), N.Prepend("▁"), N.Replace(" ", "▁")), None, lambda: D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()])),
    "BERT": (word_piece, N.BertNormalizer, P.BertPreTokenizer, D.WordPiece),
    "BERT, cased": (word_piece, lambda: N.BertNormalizer(lowercase=False), P.BertPreTokenizer, D.WordPiece),
    "BERT, accents": (word_piece, lambda: N.BertNormalizer(strip_accents=False), P.BertPreTokenizer, D.WordPiece),
    "WordPiece, short words": (lambda: word_piece(max_input_chars_per_word=7), N.Lowercase, P.Whitespace, D.WordPiece),
    "words": (word_level, None, P.Whitespace, None),
    "words, split": (word_level, N.NFKD, lambda: sequence(P.WhitespaceSplit(), P.Punctuation(), P.Digits(True)), None),
    "words, split away": (word_level, None, lambda: P.Split(Regex(r"\w+"), "removed", invert=True), None),
    "words, merged with the next": (word_level, None, lambda: P.Split(" ", "merged_with_next"), D.Fuse),
    "Unigram": (unigram, None, P.Metaspace, D.Metaspace),
    "Unigram, NFKC": (unigram, lambda: sequence(N.Nmt(), N.NFKC(), N.Replace(Regex(" {2,}"), " ")), P.Metaspace, D.Metaspace),
    "Unigram, T5": (unigram, "T5", lambda: sequence(P.WhitespaceSplit(), P.Metaspace()), D.Metaspace),
}  # fmt: skip


def trained(name, data_folder):
    make, normalizer, cut, decoder = KINDS[name]
    model, trainer = make()
    theirs = peer.Tokenizer(model)
    if normalizer == "T5":
        theirs.normalizer = N.Sequence(
            [N.Precompiled(charsmap(data_folder)), N.Strip(False, True), N.Replace(Regex(" {2,}"), "▁")]
        )
    elif normalizer is not None:
        theirs.normalizer = normalizer()
    if cut is not None:
        theirs.pre_tokenizer = cut()
    if decoder is not None:
        theirs.decoder = decoder()
    theirs.train_from_iterator(LINES, trainer)
    return theirs


@pytest.mark.parametrize("name", KINDS)
def test_ids_are_hugging_faces(data_folder, tmp_path, name):
    theirs = trained(name, data_folder)
    theirs.add_tokens([peer.AddedToken("cat's", normalized=False), peer.AddedToken("Hats", single_word=True, lstrip=True),
                       peer.AddedToken("<new>", rstrip=True, normalized=True)])  # fmt: skip
    theirs.post_processor = processors.BertProcessing(
        ("[SEP]", theirs.token_to_id("[SEP]")), ("[CLS]", theirs.token_to_id("[CLS]"))
    )
    theirs.enable_truncation(100_000)
    theirs.enable_padding(length=3)
    path = tmp_path / "tokenizer.json"
    theirs.save(str(path))
    theirs.no_truncation()
    theirs.no_padding()
    theirs.encode_special_tokens = True
    ours = tokenizers.load(path)
    tokenizers.save(ours, tmp_path / "again.json")
    again = tokenizers.load(tmp_path / "again.json")
    reread = peer.Tokenizer.from_file(str(tmp_path / "again.json"))
    reread.encode_special_tokens = True
    assert again.fingerprint == ours.fingerprint
    special = set(ours.special_tokens.values())
    for text in ("the text", "a cat's <new>  Hats", ""):
        assert ours.encode_pair(text, "tokens")[:2] == (
            (pair := theirs.encode(text, "tokens")).ids, pair.type_ids)  # fmt: skip

    names = st.sampled_from(["cat's", "Hats", " Hats", "<new>", "<new>  ", "hat", "_", "  ", "The"])

    @given(any_text | mutated | st.lists(names, max_size=6).map("".join))
    def alike(text):
        wanted = theirs.encode(text, add_special_tokens=False).ids
        ids, offsets = ours.encode_with_offsets(text)
        assert ids == ours.encode(text) == again.encode(text)
        unknown = {ours.special_tokens[name] for name in ("[UNK]", "<unk>") if name in ours.special_tokens}
        if "<unk>" not in text and special.isdisjoint(
            set(wanted) - unknown
        ):  # theirs makes special tokens of what spells their names
            assert ids == wanted == reread.encode(text, add_special_tokens=False).ids
        assert all(0 <= start <= end <= len(text) for start, end in offsets)

    alike()
    rng = random.Random(0)
    for text in hard_texts(data_folder):
        parts = [text[i : i + 80] for i in rng.sample(range(len(text)), min(60, len(text)))]
        for part in parts:
            wanted = theirs.encode(part, add_special_tokens=False).ids
            assert ours.encode(part) == wanted
    assert isinstance(ours.decode(ours.encode(TEXT)), str)
    stream = ours.stream_decoder()
    ids = ours.encode(TEXT)
    assert "".join(map(stream.feed, ids)) + stream.finish() == ours.decode(ids)


REAL = {
    "bert": ("03_tokenizers/wordpiece/bert_base_uncased_vocab.txt", "vocab.txt"),
    "t5": ("03_tokenizers/spm/t5_base.model", "spiece.model"),
    "llama": ("03_tokenizers/spm/llama2.model", "tokenizer.model"),
    "gpt2": ("03_tokenizers/tiktoken/cl100k_base.tiktoken", "cl100k_base.tiktoken"),
    "llama2c": ("02_models/llama2_tokenizer/tokenizer.bin", "tokenizer.bin"),
}


@pytest.mark.parametrize("model_type", REAL)
def test_what_is_written_opens_in_transformers_with_the_same_ids(data_folder, tmp_path, model_type):
    transformers = pytest.importorskip("transformers", reason="the extra `bench` is not installed: no transformers")
    ours = load(data_folder / REAL[model_type][0])
    tokenizers.save(ours, tmp_path)
    again = tokenizers.load(tmp_path)
    (tmp_path / "config.json").write_text(f'{{"model_type": "{model_type.removesuffix("2c")}"}}')
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(theirs) <= again.vocab_size == ours.vocab_size
    for text in hard_texts(data_folder):
        for line in text.split("\n"):
            ids = theirs(line, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            if not ours.special_tokens or not any(name in line for name in (*ours.special_tokens, "<unk>")):
                assert again.encode(line) == ids
            if line.isascii():
                assert ours.encode(line) == again.encode(line)
    assert theirs("a text")["input_ids"] == again.encode_pair("a text").ids == ours.encode_pair("a text").ids


def test_the_merges_written_for_llama_2_are_those_that_everyone_has(data_folder, tmp_path):
    ours = load(data_folder / "03_tokenizers/spm/llama2.model")
    theirs = load(data_folder / "03_tokenizers/hf/dolma_llama_tokenizer.json")
    tokenizers.save(ours, tmp_path / "tokenizer.json")
    assert tokenizers.load(tmp_path / "tokenizer.json").merges == theirs.merges


def test_a_vocabulary_whose_merges_lead_to_special_tokens_makes_none_of_text(tmp_path):
    model, trainer = bpe(special=["[UNK]"])
    theirs = peer.Tokenizer(model)
    theirs.train_from_iterator(["the cat the hat"] * 9, trainer)
    theirs.add_special_tokens(["the", "th"])
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = tokenizers.load(tmp_path / "tokenizer.json")
    assert not set(ours.encode("the cat")) & set(ours.special_tokens.values())
    assert ours.decode(ours.encode("the cat")).replace(" ", "") == "thecat"
    assert ours.encode("the", ["the"]) == [ours.special_tokens["the"]]
