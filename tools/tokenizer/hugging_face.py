"""tokenizer.json, Hugging Face's format. What we would not reproduce exactly is refused, by name.

Three forms have classes of their own here, which are faster and can be written in other formats: byte-level BPE (GPT-2,
Pythia, Llama 3), BPE on characters with visible blanks and bytes for the rest (Llama 2), and BERT's WordPiece. Any
other file is a `Pipeline` of the steps that it names.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.base import Tokenizer
from scratchgrad.tools.tokenizer.byte_alphabet import BYTE_OF, read_token
from scratchgrad.tools.tokenizer.byte_level import BYTES_OF_TEXT, ByteLevelBPE
from scratchgrad.tools.tokenizer.charsmap import BLANK
from scratchgrad.tools.tokenizer.files import complaints_name, entry, read_json_object
from scratchgrad.tools.tokenizer.merging import Merge
from scratchgrad.tools.tokenizer.metaspace import MetaspaceBPE, Prefix
from scratchgrad.tools.tokenizer.normal_forms import FORMS, Form
from scratchgrad.tools.tokenizer.patterns import cutter, name_of
from scratchgrad.tools.tokenizer.pipeline import Pipeline
from scratchgrad.tools.tokenizer.subword_models import BYTE_NAME
from scratchgrad.tools.tokenizer.templates import Part, Template
from scratchgrad.tools.tokenizer.vocabulary import by_id, bytes_of, merges_of_pairs
from scratchgrad.tools.tokenizer.wordpiece import CONTINUES, LONGEST_WORD, WordPiece

NAME = "tokenizer.json"

Json = dict[str, Any]

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BLANKS_SHOWN = {"type": "Replace", "pattern": {"String": " "}, "content": BLANK}
BLANKS_READ = [
    {"type": "Replace", "pattern": {"String": BLANK}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]
FIRST_BLANK_DROPPED = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
MODELS = ("BPE", "WordPiece", "WordLevel", "Unigram")
PARTS = ("normalizer", "pre_tokenizer", "decoder", "model")


class _Blanks(NamedTuple):
    """How blanks are written and put in front."""

    prefix: Prefix
    drops_first_space: bool


class _OtherForm(Exception):
    """The file is not of the form that was looked for."""


def load(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json; UserError names what is wrong or unknown.

    Its sections `truncation` and `padding` are left out: both are asked for when encoding.
    """
    content = read_json_object(path)
    with complaints_name(path):
        if not isinstance(content.get("model"), dict):
            raise UserError("it is not a tokenizer.json: it has no model")
        try:
            return _Reader(content).tokenizer()
        except UserError:
            raise
        except (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError, RecursionError) as error:
            raise UserError(f"it is not a tokenizer.json: {type(error).__name__} {error}") from None


class _Reader:
    def __init__(self, content: Json) -> None:
        self._content, self._model = content, content["model"]
        self._type = self._model.get("type", "BPE" if "merges" in self._model else None)

    def tokenizer(self) -> Tokenizer:
        if self._type not in MODELS:
            raise UserError(f"a model of type {quoted(self._type)} is not supported, only {', '.join(MODELS)}")
        if self._model.get("dropout") not in (None, 0.0):
            raise UserError(f"model.dropout = {quoted(self._model['dropout'])} is not supported")
        self._added, self._template = self._read_added(), self._read_template()
        for build in (self._byte_level, self._metaspace, self._word_piece):
            try:
                return build()
            except _OtherForm:
                continue
        return self._pipeline()

    def _byte_level(self) -> ByteLevelBPE:
        """GPT-2's form: a pattern, then bytes, and nothing that is unknown."""
        self._needs_model(
            "BPE", byte_fallback=(False,), continuing_subword_prefix=(None, ""), end_of_word_suffix=(None, "")
        )
        decoder, vocab = self._content.get("decoder"), entry(self._model, "vocab", dict)
        form, beside = self._form(), {token.text for token in self._added}
        letters = {text for text in vocab if len(text) == 1 and text not in beside}
        if (
            (decoder is not None and decoder["type"] != "ByteLevel")
            or any(text not in beside and not BYTE_OF.keys() >= set(text) for text in vocab)
            or not {letter for letter, byte in BYTE_OF.items() if byte in BYTES_OF_TEXT} <= letters
        ):
            raise _OtherForm
        pattern = self._pattern()
        spelled = by_id(vocab, self._added)
        return ByteLevelBPE(
            bytes_of(spelled, self._added, read_token), self._unadded_merges(vocab), self._added, pattern, form=form,
            whole_first=bool(self._model.get("ignore_merges")), template=self._template,
        )  # fmt: skip

    def _metaspace(self) -> MetaspaceBPE:
        """Llama 2's form: characters, with visible blanks, and bytes for those without a token."""
        self._needs_model(
            "BPE", byte_fallback=(True,), ignore_merges=(False,), continuing_subword_prefix=(None, ""),
            end_of_word_suffix=(None, ""),
        )  # fmt: skip
        blanks, added, vocab = self._blanks(), self._added, entry(self._model, "vocab", dict)
        if self._content.get("normalizer") is None:  # blanks are written after added tokens are found, not before
            if len({token.normalized for token in added}) > 1:
                raise _OtherForm
            added = [token._replace(normalized=False) for token in added]
        names = [BYTE_NAME.format(byte) for byte in range(256)]
        if any(name not in vocab for name in names):
            raise _OtherForm
        return MetaspaceBPE(
            by_id(vocab, added), self._unadded_merges(vocab), added, prefix=blanks.prefix,
            drops_first_space=blanks.drops_first_space, template=self._template,
            byte_ids=[vocab[name] for name in names],
        )  # fmt: skip

    def _word_piece(self) -> WordPiece:
        """BERT's form: its basic tokenizer, then WordPiece."""
        self._needs_model("WordPiece", continuing_subword_prefix=(CONTINUES,), max_input_chars_per_word=(LONGEST_WORD,))
        step, vocab = self._content.get("normalizer") or {}, entry(self._model, "vocab", dict)
        lowercase = step.get("lowercase")
        if (
            step.get("type") != "BertNormalizer"
            or not (step["clean_text"] is step["handle_chinese_chars"] is True)
            or not isinstance(lowercase, bool)
            or step["strip_accents"] not in (None, lowercase)
            or self._content.get("pre_tokenizer") != {"type": "BertPreTokenizer"}
            or (self._content.get("decoder") or {}).get("type") != "WordPiece"
            or self._model["unk_token"] not in vocab
            or any(token.text in vocab and not token.special for token in self._added)
        ):
            raise _OtherForm
        spelled = by_id(vocab, self._added)
        vocabulary = [text for text in spelled if text is not None]
        if len(vocabulary) < len(spelled):
            raise _OtherForm
        unknown = vocab[self._model["unk_token"]]
        return WordPiece(vocabulary, self._added, unknown=unknown, lowercase=lowercase, template=self._template)

    def _pipeline(self) -> Pipeline:
        vocab, merges = self._model["vocab"], []
        if self._type == "Unigram":
            vocab = {}
            for i, (text, score) in enumerate(entry(self._model, "vocab", list)):
                if not isinstance(text, str) or not isinstance(score, (int, float)) or not math.isfinite(score):
                    raise UserError(f"token {i} is {quoted([text, score])}, not a text and its score")
                if text in vocab:
                    raise UserError(f"it has the token {quoted(text)} twice, with the ids {vocab[text]} and {i}")
                vocab[text] = i
        spelled = by_id(vocab, self._added)
        if self._type == "BPE":
            merges = self._merges(vocab)
        parts = {name: self._content.get(name) for name in PARTS}
        parts["model"] = {**self._model, "type": self._type}
        return Pipeline(parts, spelled, self._added, merges=merges, template=self._template)

    def _needs_model(self, kind: str, **allowed: tuple[object, ...]) -> None:
        if self._type != kind or any(self._model.get(key, values[0]) not in values for key, values in allowed.items()):
            raise _OtherForm

    def _form(self) -> Form | None:
        step = self._content.get("normalizer")
        if step is not None and step["type"] not in FORMS:
            raise _OtherForm
        return FORMS[step["type"]] if step is not None else None

    def _pattern(self) -> str:
        step = self._content.get("pre_tokenizer")
        if step is not None and step["type"] == "ByteLevel" and _cuts(step, True):
            return "gpt2"
        if step is not None and step["type"] == "Sequence" and len(step["pretokenizers"]) == 2:
            split, byte_level = step["pretokenizers"]
            if (
                (split["type"], split.get("behavior"), split.get("invert")) == ("Split", "Isolated", False)
                and list(split["pattern"]) == ["Regex"]
                and byte_level["type"] == "ByteLevel"
                and _cuts(byte_level, False)
            ):
                pattern = name_of(split["pattern"]["Regex"])
                cutter(pattern)  # UserError where it is no regular expression
                return pattern
        raise _OtherForm

    def _blanks(self) -> _Blanks:
        normalizer, cut = self._content.get("normalizer"), self._content.get("pre_tokenizer")
        steps = normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else [normalizer]
        prefix: Prefix
        if steps == [{"type": "Prepend", "prepend": BLANK}, BLANKS_SHOWN] and cut is None:
            prefix = "always"
        elif steps == [BLANKS_SHOWN] and cut is None:
            prefix = "never"
        elif normalizer is None and cut is not None and cut["type"] == "Metaspace":
            schemes: dict[object, Prefix] = {"never": "never", "always": "if missing", "first": "first if missing"}
            scheme = cut.get("prepend_scheme")
            if cut["replacement"] != BLANK or cut.get("split") is not False or scheme not in schemes:
                raise _OtherForm
            prefix = schemes[scheme]
        else:
            raise _OtherForm
        decoder = self._content.get("decoder") or {}
        known = (BLANKS_READ, [*BLANKS_READ, FIRST_BLANK_DROPPED])
        if decoder.get("type") != "Sequence" or decoder["decoders"] not in known:
            raise _OtherForm
        return _Blanks(prefix, len(decoder["decoders"]) > len(BLANKS_READ))

    def _read_added(self) -> list[AddedToken]:
        added: dict[str, AddedToken] = {}
        for token in self._content.get("added_tokens") or []:
            text, i = token["content"], token["id"]
            if type(text) is not str or not text or type(i) is not int or i < 0:
                raise UserError(f"the added token {quoted(text)} with the id {quoted(i)} needs a text and a number")
            if text in added:
                raise UserError(f"the added token {quoted(text)} stands there twice")
            flags = {key: bool(token.get(key, False)) for key in ("lstrip", "rstrip", "single_word")}
            added[text] = AddedToken(text, i, bool(token["special"]), bool(token["normalized"]), **flags)
        return list(added.values())

    def _pairs(self) -> list[Any]:
        return [item.split(" ") if isinstance(item, str) else item for item in entry(self._model, "merges", list)]

    def _merges(self, vocab: dict[str, int]) -> list[Merge]:
        named = ((f"merge {number}", pair) for number, pair in enumerate(self._pairs()))
        return merges_of_pairs(named, vocab, self._model.get("continuing_subword_prefix") or "")

    def _unadded_merges(self, vocab: dict[str, int]) -> list[Merge]:
        """The merges; the form is another where one makes an added token or takes one up."""
        beside = {token.text for token in self._added}
        for pair in self._pairs():
            parts = [part for part in pair if isinstance(part, str)]
            if not beside.isdisjoint([*parts, "".join(parts)]):
                raise _OtherForm
        return self._merges({text: i for text, i in vocab.items() if text not in beside})

    def _read_template(self) -> Template | None:
        step = self._content.get("post_processor")
        steps = step["processors"] if step is not None and step["type"] == "Sequence" else [step]
        found = None
        for step in steps:
            if step is None or step["type"] == "ByteLevel":  # it moves offsets, and nothing else
                continue
            if found is not None or step["type"] not in ("TemplateProcessing", "BertProcessing", "RobertaProcessing"):
                raise UserError(f"the post-processor {quoted(step['type'])} is not supported here")
            if step["type"] == "TemplateProcessing":
                ids = {name: token["ids"] for name, token in step["special_tokens"].items()}
                found = Template(_parts(step["single"], ids), _parts(step["pair"], ids))
            else:
                found = _of_pairs(step)
        return found


def _cuts(byte_level: Json, by_itself: bool) -> bool:
    return not byte_level["add_prefix_space"] and byte_level.get("use_regex", True) is by_itself


def _of_pairs(step: Json) -> Template:
    """[CLS] A [SEP] B [SEP], with B in segment 1; RoBERTa has two separators between them, and one segment."""
    (_, begin), (_, end) = step["cls"], step["sep"]
    for token in (begin, end):
        if type(token) is not int or token < 0:
            raise UserError(f"the post-processor {step['type']} puts the id {quoted(token)} around texts")
    single: tuple[Part, ...] = ((begin, 0), ("A", 0), (end, 0))
    if step["type"] == "BertProcessing":
        return Template(single, (*single, ("B", 1), (end, 1)))
    return Template(single, (*single, (end, 0), ("B", 0), (end, 0)))


def _parts(items: list[Json], ids: dict[str, list[int]]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for item in items:
        if not isinstance(item, dict) or len(item) != 1:
            raise UserError(f"the post-processor's template has {quoted(item)}, which is neither a text nor a token")
        ((kind, place),) = item.items()
        segment = entry(place, "type_id", int)
        if kind == "Sequence":
            parts.append((place["id"], segment))
            continue
        for token in ids[place["id"]]:
            if type(token) is not int or token < 0:
                raise UserError(f"the post-processor's template has the id {quoted(token)}")
            parts.append((token, segment))
    texts = [part for part, _ in parts if not isinstance(part, int)]
    if texts not in (["A"], ["A", "B"]):
        raise UserError(f"the post-processor's template places the texts {quoted(texts)}, which is not supported")
    return tuple(parts)
