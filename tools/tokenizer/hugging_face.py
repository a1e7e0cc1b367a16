"""tokenizer.json, Hugging Face's format, of type BPE. What we would not reproduce exactly is refused, by name.

Two families use it: byte-level BPE (GPT-2, Pythia, Llama 3), whose text is cut by a pattern, and BPE on characters with
visible blanks and bytes for the rest (Llama 2). A file is of the second when its model falls back on bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.base import Tokenizer
from scratchgrad.tools.tokenizer.byte_alphabet import read_token
from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE
from scratchgrad.tools.tokenizer.files import complaints_name, read_json_object
from scratchgrad.tools.tokenizer.merging import Merge
from scratchgrad.tools.tokenizer.metaspace import BLANK, MetaspaceBPE, Prefix
from scratchgrad.tools.tokenizer.normal_forms import Form
from scratchgrad.tools.tokenizer.patterns import name_of
from scratchgrad.tools.tokenizer.templates import Part, Template
from scratchgrad.tools.tokenizer.vocabulary import by_id, bytes_of, merges_of_pairs

NAME = "tokenizer.json"
BYTE_NAME = "<0x{:02X}>"

Json = dict[str, Any]

FORMS: dict[str, Form] = {"NFC": "NFC", "NFD": "NFD", "NFKC": "NFKC", "NFKD": "NFKD"}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BLANKS_SHOWN = {"type": "Replace", "pattern": {"String": " "}, "content": BLANK}
BLANKS_READ = [
    {"type": "Replace", "pattern": {"String": BLANK}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]
FIRST_BLANK_DROPPED = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


class _Blanks(NamedTuple):
    """How blanks are written and put in front."""

    prefix: Prefix
    drops_first_space: bool


def load(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json; UserError names what is wrong or unknown."""
    content = read_json_object(path)
    with complaints_name(path):
        if not isinstance(content.get("model"), dict):
            raise UserError("it is not a tokenizer.json: it has no model")
        try:
            return _Reader(content).tokenizer()
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise UserError(f"it is not a tokenizer.json: {type(error).__name__} {error}") from None


class _Reader:
    def __init__(self, content: Json) -> None:
        self._content, self._model = content, content["model"]

    def tokenizer(self) -> Tokenizer:
        if self._model.get("type") != "BPE":
            raise UserError(f"a model of type {self._model.get('type')} is not supported, only BPE")
        for key in ("truncation", "padding"):
            if self._content.get(key) is not None:
                raise UserError(f"{key} is not supported: it is asked for when encoding")
        return self._metaspace() if self._model.get("byte_fallback") else self._byte_level()

    def _byte_level(self) -> ByteLevelBPE:
        self._check_model(byte_fallback=(False,), fuse_unk=(False,), ignore_merges=(False, True))
        if (self._content.get("decoder") or {}).get("type") != "ByteLevel":
            raise UserError("only the decoder ByteLevel is supported with this model")
        pattern, form = self._pattern(), self._form()
        added = self._added()
        spelled = by_id(self._model["vocab"], added)
        return ByteLevelBPE(
            bytes_of(spelled, added, read_token), self._merges(spelled, added), added, pattern, form=form,
            whole_first=bool(self._model.get("ignore_merges")), template=self._template(),
        )  # fmt: skip

    def _metaspace(self) -> MetaspaceBPE:
        self._check_model(byte_fallback=(True,), fuse_unk=(False, True), ignore_merges=(False,))
        blanks = self._blanks()
        added = self._added()
        if self._content.get("normalizer") is None:  # blanks are written after added tokens are found, not before
            if len({token.normalized for token in added}) > 1:
                raise UserError("added tokens of which some are normalized are not supported with Metaspace")
            added = [token._replace(normalized=False) for token in added]
        spelled = by_id(self._model["vocab"], added)
        id_of = {text: i for i, text in enumerate(spelled)}
        missing = next((name for byte in range(256) if (name := BYTE_NAME.format(byte)) not in id_of), None)
        if missing is not None:
            raise UserError(f"model.byte_fallback needs the token {missing!r}, which is missing")
        return MetaspaceBPE(
            spelled, self._merges(spelled, added), added, prefix=blanks.prefix,
            drops_first_space=blanks.drops_first_space, template=self._template(),
            byte_ids=[id_of[BYTE_NAME.format(byte)] for byte in range(256)],
        )  # fmt: skip

    def _check_model(self, **allowed: tuple[bool, ...]) -> None:
        everywhere = {"dropout": (None, 0.0), "continuing_subword_prefix": (None, ""), "end_of_word_suffix": (None, "")}
        for key, values in {**everywhere, **allowed}.items():
            if self._model.get(key, values[0]) not in values:
                raise UserError(f"model.{key} = {self._model[key]!r} is not supported")

    def _form(self) -> Form | None:
        step = self._content.get("normalizer")
        if step is not None and step["type"] not in FORMS:
            raise UserError(f"the normalizer {step['type']} is not supported")
        return FORMS[step["type"]] if step is not None else None

    def _pattern(self) -> str:
        step = self._content["pre_tokenizer"]
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
                return name_of(split["pattern"]["Regex"])
        raise UserError(
            "this pre-tokenizer is not supported: only ByteLevel, or Split (a regex, isolated) and ByteLevel, "
            "without a prefix space"
        )

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
                raise UserError(f"this pre-tokenizer Metaspace is not supported: {json.dumps(cut)}")
            prefix = schemes[scheme]
        else:
            told = ", ".join(step["type"] for step in (*steps, cut) if step)
            raise UserError(f"the normalizer and pre-tokenizer {told or 'None'} are not supported with byte_fallback")
        decoder = self._content.get("decoder") or {}
        known = (BLANKS_READ, [*BLANKS_READ, FIRST_BLANK_DROPPED])
        if decoder.get("type") != "Sequence" or decoder["decoders"] not in known:
            raise UserError("this decoder is not supported: only Replace, ByteFallback, Fuse, and Strip of one blank")
        return _Blanks(prefix, len(decoder["decoders"]) > len(BLANKS_READ))

    def _added(self) -> list[AddedToken]:
        added: dict[str, AddedToken] = {}
        for token in self._content["added_tokens"]:
            text, i = token["content"], token["id"]
            if type(text) is not str or not text or type(i) is not int or i < 0:
                raise UserError(f"the added token {text!r} with the id {i!r} needs a text and a number")
            for key in ("single_word", "lstrip", "rstrip"):
                if token[key]:
                    raise UserError(f"the added token {text!r} has {key}, which is not supported")
            if text in added:
                raise UserError(f"the added token {text!r} stands there twice")
            added[text] = AddedToken(text, i, bool(token["special"]), bool(token["normalized"]))
        return list(added.values())

    def _merges(self, spelled: list[str], added: list[AddedToken]) -> list[Merge]:
        beside = {token.id for token in added}
        id_of = {text: i for i, text in enumerate(spelled) if i not in beside}
        pairs = (
            (f"merge {number}", entry.split(" ") if isinstance(entry, str) else entry)
            for number, entry in enumerate(self._model["merges"])
        )
        return merges_of_pairs(pairs, id_of)

    def _template(self) -> Template | None:
        step = self._content.get("post_processor")
        steps = step["processors"] if step is not None and step["type"] == "Sequence" else [step]
        found = None
        for step in steps:
            if step is None or step["type"] == "ByteLevel":  # it moves offsets, and nothing else
                continue
            if step["type"] != "TemplateProcessing" or found is not None:
                raise UserError(f"the post-processor {step['type']} is not supported here")
            ids = {name: token["ids"] for name, token in step["special_tokens"].items()}
            found = Template(_parts(step["single"], ids), _parts(step["pair"], ids))
        return found


def _cuts(byte_level: Json, by_itself: bool) -> bool:
    return not byte_level["add_prefix_space"] and byte_level.get("use_regex", True) is by_itself


def _parts(items: list[Json], ids: dict[str, list[int]]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for item in items:
        ((kind, place),) = item.items()
        if kind == "Sequence":
            parts.append((place["id"], place["type_id"]))
        else:
            parts += [(token, place["type_id"]) for token in ids[place["id"]]]
    texts = [part for part, _ in parts if not isinstance(part, int)]
    if texts not in (["A"], ["A", "B"]):
        raise UserError(f"the post-processor's template places the texts {texts}, which is not supported")
    return tuple(parts)
