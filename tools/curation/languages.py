"""Which language a document is known to be in."""

from __future__ import annotations

from scratchgrad.tools.curation.document import Document

UNKNOWN = "unknown"
NOT_SAID = {"", "unknown", "und", "mul", "zxx", "none"}
TWO_LETTERS = {"eng": "en", "english": "en", "zho": "zh", "cmn": "zh", "jpn": "ja", "tha": "th"}
WITHOUT_SPACES = {"zh", "ja", "th", "lo", "lao", "km", "khm", "my", "mya", "bo", "bod", "dz", "dzo", "yue", "wuu"}


def language_of(document: Document) -> str:
    """As `metadata["language"]` says it, without region or script: `en` of `en-US` or `eng_Latn`; else 'unknown'."""
    said = str(document.stated("language") or "").lower().replace("_", "-").partition("-")[0]
    return UNKNOWN if said in NOT_SAID else TWO_LETTERS.get(said, said)
