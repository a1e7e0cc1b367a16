"""Vocabulary files that are not whole, not consistent, or not supported: one sentence, with file and line."""

import json
import struct

import pytest
import regex

from scratchgrad import UserError
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import protobuf, train_bpe
from scratchgrad.tools.tokenizer.charsmap import Charsmap
from tests.tools.tokenizer_texts import SPECIAL, TEXT

small = train_bpe([TEXT] * 3, 400, special_tokens=SPECIAL)


def complaint(path, **options) -> str:
    with pytest.raises(UserError) as told:
        tokenizers.load(path, **options)
    said = str(told.value)
    assert said.startswith((f"'{path}'", f"'{path.parent}", f"there is no tokenizer in '{path}'"))
    assert "\n" not in said
    return said


def set_to(*keys, value):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def duplicate_id(content):
    content["model"]["vocab"]["a"] = content["model"]["vocab"]["b"]


def twice(content):
    return json.dumps(content).replace('"vocab": {', '"vocab": {"a": 5, ')


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "B", "type_id": 0}}],
    "pair": [],
    "special_tokens": {},
}


@pytest.mark.parametrize(("change", "words"), [
    (lambda content: "{", "line 1: not JSON"),
    (lambda content: '{"model": {},\n\n "x": }', "line 3: not JSON"),
    (lambda content: "[" * 100_000, "is not JSON"),
    (lambda content: "[]", "holds a JSON list, not an object"),
    (lambda content: "{}", "not a tokenizer.json: it has no model"),
    (twice, "'a' stands there twice"),
    (set_to("model", "type", value="Trie"), "a model of type 'Trie' is not supported, only BPE, WordPiece, WordLevel, Unigram"),
    (set_to("model", "type", value="Unigram"), "'Unigram' has vocab = .*, which is no list"),
    (set_to("model", "type", value="WordPiece"), "a WordPiece model needs an unk_token"),
    (set_to("model", "dropout", value=0.1), "model.dropout = 0.1 is not supported"),
    (set_to("model", "end_of_word_suffix", value=5), "'BPE' has end_of_word_suffix = 5, which is no str"),
    (set_to("model", "continuing_subword_prefix", value="##"), r"merge 0 \(.*\): what goes on a word begins with '##' here"),
    (set_to("normalizer", value={"type": "ByteLevel"}), "the normalizer 'ByteLevel' is not supported"),
    (set_to("normalizer", value={"type": "Replace", "pattern": {"Regex": "("}, "content": ""}), "is not a regular expression"),
    (set_to("normalizer", value={"type": "Replace", "pattern": {"Regex": "a{4294967294}"}, "content": ""}), "repetitions written out"),
    (set_to("normalizer", value={"type": "Prepend", "prepend": 5}), "'Prepend' has prepend = 5, which is no str"),
    (set_to("pre_tokenizer", value={"type": "UnicodeScripts"}), "the pre-tokenizer 'UnicodeScripts' is not supported"),
    (set_to("pre_tokenizer", value={"type": "Split", "pattern": {}, "behavior": "Isolated", "invert": False}), "Split needs a pattern"),
    (set_to("pre_tokenizer", value={"type": "Split", "pattern": {"Regex": "[a&&b]"}, "behavior": "Isolated", "invert": False}), "has &&, which"),
    (set_to("pre_tokenizer", value={"type": "Split", "pattern": {"Regex": "((a{999}){999}){999}"}, "behavior": "Isolated", "invert": False}), "repetitions written out"),
    (set_to("pre_tokenizer", value={"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": True}, {"type": "Digits", "individual_digits": True}]}), "behind ByteLevel is not supported"),
    (set_to("post_processor", value={"type": "BertProcessing"}), "KeyError 'cls'"),
    (set_to("post_processor", value={"type": "BertProcessing", "sep": ["a", -1], "cls": ["b", 0]}), "puts the id -1"),
    (set_to("post_processor", value={**TEMPLATE, "single": [{}]}), "has {}, which is neither a text nor a token"),
    (lambda content: json.dumps(content).replace('"a"', r'"\ud800"'), "half a surrogate pair in a string: .*ud800"),
    (lambda content: json.dumps(content).replace('"dropout": null', '"dropout": NaN'), "NaN is no number"),
    (set_to("post_processor", value=TEMPLATE), r"places the texts \['B'\]"),
    (set_to("decoder", value={"type": "WordPiece"}), "'WordPiece' has prefix = None, which is no str"),
    (set_to("decoder", value={"type": "CTC"}), "the decoder 'CTC' is not supported"),
    (set_to("added_tokens", 0, "id", value=17), "the added token .* has the id 17, and in the vocabulary 0"),
    (set_to("added_tokens", 0, "content", value="zzz"), "collides with the token '<|endoftext|>': both have the id 0".replace("|", r"\|")),
    (set_to("added_tokens", 0, "content", value="<|user|>"), "stands there twice"),
    (set_to("model", "merges", 3, value="abc"), r"merge 3 \('abc'\) is not a pair"),
    (set_to("model", "merges", 3, value="Ġzz q"), "merge 3 .* needs the token 'Ġzz', which is missing"),
    (lambda content: content["model"]["merges"].append(content["model"]["merges"][0]), "stands there twice: first as merge 0"),
    (duplicate_id, "two tokens have the id"),
    (set_to("model", "vocab", "a", value=1 << 40), "the id of the token 'a' is 1099511627776, not a number"),
    (set_to("model", "vocab", value={}), "needs the token|no token"),
    (set_to("model", "vocab", "a", value="x"), "the id of the token 'a' is 'x'"),
    (set_to("model", "vocab", "a", value=-1), "the id of the token 'a' is -1"),
    (lambda content: content["model"].pop("merges") and None, "'BPE' has merges = None, which is no list"),
])  # fmt: skip
def test_a_tokenizer_json_that_is_none_is_refused_with_what_is_wrong(tmp_path, change, words):
    path = tmp_path / "tokenizer.json"
    tokenizers.save(small, path)
    content = json.loads(path.read_text())
    result = change(content)
    path.write_text(result if isinstance(result, str) else json.dumps(content))
    assert regex.search(words, complaint(path))


def test_a_missing_file_is_told_with_what_is_read(tmp_path):
    assert ": tokenizer.json, vocab.json with merges.txt, " in complaint(tmp_path)
    for name in ("x.model", "x.bin", "x.tiktoken", "vocab.txt", "merges.txt"):
        assert "does not exist" in complaint(tmp_path / name)
    (tmp_path / "notes.xml").write_text("x")
    assert "is in none of the formats that are read: tokenizer.json, " in complaint(tmp_path / "notes.xml")


def test_a_format_that_says_its_pattern_takes_no_other(tmp_path):
    tokenizers.save(small, tmp_path)
    assert "says itself which pattern" in complaint(tmp_path / "tokenizer.json", pattern="gpt2")


@pytest.mark.parametrize(("lines", "words"), [
    (["a b c"], r"line 5 \('a b c'\) is not a pair"),
    (["abc"], r"line 5 \('abc'\) is not a pair"),
    (["a "], r"line 5 \('a '\) is not a pair"),
    (["Ġzz q"], "line 5 .* needs the token 'Ġzz'"),
    (["t h", "t h"], "line 6 .* stands there twice: first as line 5|needs the token"),
])  # fmt: skip
def test_merges_txt_with_its_line(tmp_path, lines, words):
    tokenizers.save(small, tmp_path / "vocab.json")
    path = tmp_path / "merges.txt"
    path.write_text("\n".join([*path.read_text().split("\n")[:4], *lines]) + "\n")
    assert regex.search(words, complaint(path))


def test_vocab_json_with_what_is_wrong(tmp_path):
    tokenizers.save(small, tmp_path / "vocab.json")
    path = tmp_path / "vocab.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "a": whole["b"]}))
    assert "two tokens have the id" in complaint(path)
    path.write_text(json.dumps(whole))
    assert "'<|new|>' collides with the token" in complaint(path, special_tokens={"<|new|>": 5})
    assert "has the id 999, and in the vocabulary" in complaint(path, special_tokens={"a": 999})
    path.write_bytes(b'{"a": 1,\n"\xff": 2}')
    assert "line 2: not UTF-8: a byte 0xff" in complaint(path)


@pytest.mark.parametrize(("change", "words"), [
    (lambda lines: [*lines[:5], lines[4], *lines[5:]], "line 6 has the token .*, which has the rank 4 already"),
    (lambda lines: [*lines[:5], *lines[6:]], "line 6 has the rank 6 where 5 is due: a rank is missing"),
    (lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]], "line 6 has the rank 6 where 5 is due"),
    (lambda lines: [*lines[:7], b"//// 6", *lines[7:]], "line 8 has the rank 6 where 7 is due: a rank comes out of order or twice"),
    (lambda lines: [*lines[:5], b"!!!! 5", *lines[6:]], "line 6 is not a token in base64 and its rank"),
    (lambda lines: [*lines[:5], b"YQ==", *lines[6:]], "line 6 is not a token"),
    (lambda lines: [*lines[:5], b"YQ== five", *lines[6:]], "line 6 is not a token"),
    (lambda lines: lines[1:], "the rank 0 is missing"),
    (lambda lines: lines[:200], "the byte .* has no token"),
    (lambda lines: [], "it holds no tokens"),
])  # fmt: skip
def test_a_tiktoken_file_with_its_line(tmp_path, change, words):
    path = tmp_path / "x.tiktoken"
    tokenizers.save(train_bpe([TEXT], 300, special_tokens=()), path)
    path.write_bytes(b"\n".join(change(path.read_bytes().split(b"\n")[:-1])) + b"\n")
    assert regex.search(words, complaint(path, pattern="gpt4"))


def test_a_tiktoken_file_needs_a_pattern_and_special_tokens_beside_its_own(tmp_path):
    path = tmp_path / "x.tiktoken"
    tokenizers.save(train_bpe([TEXT], 300, special_tokens=()), path)
    assert "does not say its pattern: name it" in complaint(path)
    assert "has the id 7, which is that of the token" in complaint(path, pattern="gpt2", special_tokens={"<|x|>": 7})


@pytest.mark.parametrize(("lines", "words"), [
    (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "a"], "line 7 has the token 'a' of line 5 again"),
    (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "", "b"], "line 5 is empty"),
    (["[PAD]", "[UNK]", "[CLS]", "a"], r"not BERT's vocabulary: \[SEP\] is missing"),
])  # fmt: skip
def test_vocab_txt_with_its_line(tmp_path, lines, words):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(lines) + "\n")
    assert regex.search(words, complaint(path))


def bin_file(tokens, longest=None):
    longest = max(map(len, tokens)) if longest is None else longest
    return struct.pack("<I", longest) + b"".join(struct.pack("<fI", -i, len(t)) + t for i, t in enumerate(tokens))


FIRST = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % byte for byte in range(256))]


@pytest.mark.parametrize(("raw", "words"), [
    (b"\x05\0", "ends too soon: after 2 bytes"),
    (bin_file([*FIRST, b" ", b"a"])[:-1], "ends too soon: in the middle of token 260"),
    (bin_file([*FIRST, b" ", b"a"])[:-5], "ends too soon: in the middle of token 260"),
    (bin_file([*FIRST, b" ", b"a"], longest=3), "token 0 has 5 bytes, and the longest was to have 3"),
    (bin_file(FIRST[:9]), "it has 9 tokens; three special ones and 256 bytes alone are 259"),
    (bin_file([*FIRST[:5], b"x", *FIRST[6:]]), "token 5 is 'x', not '<0x02>'"),
    (bin_file([*FIRST, b"a", b"b", b"a"]), "tokens 259 and 261 are both 'a'"),
    (bin_file([*FIRST, b"\xff"]), "token 259 is not UTF-8"),
    (bin_file([*FIRST, b"a", b"ab"]), "the token 'ab' has the character 'b', which is no token"),
    (bin_file([*FIRST, *(c.encode() for c in "<0x41>"[:5] + ">"), b"<0", b"x4", b"1>", b"x41>"]), "run.c would merge text into the token '<0x41>'"),
    (struct.pack("<IfI", 0xFFFFFFFF, 0.0, 0xFFFFFFFF), "ends too soon: in the middle of token 0"),
])  # fmt: skip
def test_a_tokenizer_bin_that_is_cut_or_none(tmp_path, raw, words):
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(raw)
    assert regex.search(words, complaint(path))


def field(number, value):
    """A protobuf field: a message or string, or a number."""

    def varint(n):
        return bytes([n & 0x7F | 0x80]) + varint(n >> 7) if n > 0x7F else bytes([n])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def piece(text, score=-1.0, kind=1):
    return field(1, field(1, text.encode()) + field(2, score) + field(3, kind))


def model(*pieces, kind=1, trainer=b"", normalizer=b""):
    return b"".join(pieces) + field(2, field(3, kind) + trainer) + field(3, normalizer)


UNK, END = piece("<unk>", 0.0, 2), piece("</s>", 0.0, 3)


def test_the_small_model_that_the_next_test_damages_is_whole(tmp_path):
    (tmp_path / "x.model").write_bytes(model(UNK, END, piece("a"), piece("b", -2.0), piece("ab", -1.5)))
    assert tokenizers.load(tmp_path / "x.model").vocab_size == 5


@pytest.mark.parametrize(("raw", "words"), [
    (model(UNK, END, piece("a"))[:-3], "ends too soon"),
    (model(UNK, END, piece("a"))[:20], "ends too soon"),
    (b"", "not a SentencePiece model"),
    (b"\x0b", "a field of the unknown kind 3"),
    (b"\xff" * 12, "no such number"),
    (b"\x08\x05", "token 0 is not a message"),
    (model(UNK, piece("a"), kind=3), "not a SentencePiece model of the type BPE or Unigram"),
    (model(piece("a")), "it has 0 unknown tokens"),
    (model(UNK, piece("<u>", 0.0, 2), piece("a")), "it has 2 unknown tokens"),
    (model(UNK, piece("<sep>", 0.0, 4), piece("a")), r"token 1 \('<sep>'\) is of the type user-defined, which is not supported"),
    (model(UNK, piece("x", 0.0, 5), piece("a")), r"token 1 \('x'\) is of the type unused"),
    (model(UNK, piece("x", 0.0, 9), piece("a")), "is of the type unknown, which"),
    (model(UNK, piece("a", float("nan"))), "token 1 has no text or no score"),
    (model(UNK, piece("")), "token 1 has no text or no score"),
    (model(UNK, END), "no token that text could be made of"),
    (model(UNK, piece("a"), piece("a")), "'a' twice"),
    (model(UNK, piece("a"), trainer=field(35, 1)), "byte_fallback needs the token '<0x00>'"),
    (model(UNK, piece("a"), trainer=field(24, 1)), "treat_whitespace_as_suffix is not supported"),
    (model(UNK, piece("a"), normalizer=field(5, 0)), "without escape_whitespaces is not supported"),
    (model(UNK, piece("a"), normalizer=field(2, b"\x99\x99")), "compiled map is damaged"),
    (model(UNK, piece("a"), field(2, b""), piece("ab"), kind=2, normalizer=field(4, 0)), "the token 'ab' has the character 'b', which is no token"),
])  # fmt: skip
def test_a_model_that_is_cut_or_unknown(tmp_path, raw, words):
    path = tmp_path / "x.model"
    path.write_bytes(raw)
    assert regex.search(words, complaint(path))


@pytest.mark.parametrize("name", ["spm/t5_base.model", "gpt2/vocab.bpe", "tiktoken/r50k_base.tiktoken"])
def test_a_real_file_cut_anywhere_or_with_a_bit_turned_never_ends_in_anything_but_a_sentence(
    data_folder, tmp_path, name
):
    source = data_folder / "03_tokenizers" / name
    raw = source.read_bytes()
    path = tmp_path / source.name
    if source.suffix == ".bpe":
        (tmp_path / "encoder.json").write_bytes((source.parent / "encoder.json").read_bytes())
    for share in (0.0001, 0.3, 0.98):
        place = int(len(raw) * share)
        for damaged in (raw[:place], raw[:place] + bytes([raw[place] ^ 0x50]) + raw[place + 1 :]):
            path.write_bytes(damaged)
            try:
                loaded = tokenizers.load(path)
            except UserError as told:
                said = str(told)
            else:
                said = f"{path.parent} {len(loaded.encode('some text'))}"
            assert str(path.parent) in said


def test_a_compiled_map_that_leads_round_in_a_circle_ends():
    place, label = 0, 1
    unit = label | (place ^ 1) << 10  # whose base is where it lies
    with pytest.raises(UserError, match=r"too many or too long keys|damaged"):
        Charsmap(struct.pack("<I", 8) + struct.pack("<2I", 0, unit) + b"x\0", adds_prefix=True, squeezes_blanks=True)


def test_a_field_that_claims_more_bytes_than_there_are_costs_no_memory():
    with pytest.raises(UserError, match="ends too soon: a field of 137438953471 bytes"):
        protobuf.fields(b"\x0a\xff\xff\xff\xff\xff\x03abc")
