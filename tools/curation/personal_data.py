"""Where a text holds what belongs to a person or opens a door: found by form, and by checksum where there is one.

Every finder reads the text as it is. A view of it in other letters (upper case, bytes) has other offsets beside ß, İ
and the like, and what is then cut out is not the secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from scratchgrad.tools.text.optional import need


class Found(NamedTuple):
    start: int
    end: int


EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
IPV4 = re.compile(r"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?[0-9])")
IPV6 = re.compile(r"(?<![0-9A-Za-z:.])(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{3,39}(?![0-9A-Za-z:])")
VERSION_BEFORE = re.compile(r"(?:\bv\.? ?|(?:version|release|build|rev)[ .:=]{0,3})\Z", re.IGNORECASE)
IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}(?=[ -]?[0-9A-Za-z])")
CARD = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
PHONE = re.compile(r"(?:\+|(?<![0-9A-Za-z.])\(?[0-9])[0-9() ./\-\u00a0]{6,24}(?![0-9])")
STARTS_OF_PHONE = re.compile(r"[+(]|(?<![0-9])[0-9]")
ENDS_OF_PHONE = re.compile(r"[0-9](?![0-9])")
OF_ANOTHER_KIND = re.compile(r"(?:isbn|issn|doi|order|invoice|item|#|no\.|nr\.|id)[-: /.0-9]{0,8}\Z", re.IGNORECASE)
DATE = re.compile(r"(?:19|20)[0-9]{2}[-/. ][0-9]{1,2}[-/. ][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:19|20)[0-9]{2}")
SEPARATED = re.compile(r"[0-9)][ ./\-\u00a0]+[(0-9]")

# Servers that anyone may name: public resolvers.
PUBLIC_RESOLVERS = {
    "1.0.0.1", "1.1.1.1", "4.2.2.1", "4.2.2.2", "8.8.4.4", "8.8.8.8", "9.9.9.9", "149.112.112.112", "208.67.220.220",
    "208.67.222.222",
}  # fmt: skip

# Characters of an IBAN, and the countries whose accounts have as many: the IBAN registry (ISO 13616).
IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU",
    31: "MT SC",
    32: "LC",
}
IBAN_LENGTHS = {country: length for length, countries in IBAN_COUNTRIES.items() for country in countries.split()}

# The forms in which services give out keys, as they publish them for scanners.
SECRETS = re.compile(
    "|".join(
        (
            r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----[\s\S]{0,8192}?-----END (?:[A-Z]+ ){0,3}PRIVATE KEY-----",
            r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----[A-Za-z0-9+/=\s\\n]{0,8192}",  # without its end
            r"(?<![0-9A-Za-z])(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Z])",  # Amazon
            r"(?<![0-9A-Za-z])gh[pousr]_[0-9A-Za-z]{36,255}",  # GitHub
            r"(?<![0-9A-Za-z])github_pat_[0-9A-Za-z_]{22,255}",
            r"(?<![0-9A-Za-z])glpat-[0-9A-Za-z_-]{20,64}",  # GitLab
            r"(?<![0-9A-Za-z])xox[abeoprs]-[0-9A-Za-z-]{10,250}",  # Slack
            r"(?<![0-9A-Za-z])AIza[0-9A-Za-z_-]{35}",  # Google
            r"(?<![0-9A-Za-z])(?:sk|rk)_live_[0-9A-Za-z]{16,99}",  # Stripe
            r"(?<![0-9A-Za-z])sk-(?:[a-z]+-)?[0-9A-Za-z_-]{32,200}",  # OpenAI, Anthropic
            r"(?<![0-9A-Za-z])hf_[0-9A-Za-z]{34}",  # Hugging Face
            r"(?<![0-9A-Za-z])eyJ[0-9A-Za-z_-]{8,2000}\.eyJ[0-9A-Za-z_-]{8,4000}\.[0-9A-Za-z_-]{8,2000}",  # a JWT
        )
    )
)


def emails(text: str) -> Iterator[Found]:
    if "@" in text:
        yield from (Found(*match.span()) for match in EMAIL.finditer(text))


def ip_addresses(text: str) -> Iterator[Found]:
    """Public ones of both versions; not private ones, not well-known resolvers, not what is called a version."""
    for match in IPV4.finditer(text):
        if _is_public(match[0]) and not VERSION_BEFORE.search(text[max(0, match.start() - 12) : match.start()]):
            yield Found(*match.span())
    if ":" in text:
        yield from (Found(*match.span()) for match in IPV6.finditer(text) if _is_public(match[0]))


def phone_numbers(text: str, region: str) -> Iterator[Found]:
    """With a + or separators, and valid by the numbering plan of their country; region: of those without a +."""
    place = 0
    while match := PHONE.search(text, place):
        found = _longest_phone(text, match, region)
        if found is not None:
            yield found
        place = match.end() if found is None else found.end


def _longest_phone(text: str, match: re.Match[str], region: str) -> Found | None:
    """The longest valid number that is made of parts of a match: digits of something else may stand at its ends."""
    starts = [start.start() for start in STARTS_OF_PHONE.finditer(text, *match.span())]
    ends = [end.end() for end in ENDS_OF_PHONE.finditer(text, *match.span())]
    spans = [(start, end) for start in starts for end in ends if end - start > 6]
    spans.sort(key=lambda span: span[0] - span[1])
    return next((Found(*span) for span in spans if _is_phone(text, *span, region)), None)


def _is_phone(text: str, start: int, end: int, region: str) -> bool:
    number, before = text[start:end], text[max(0, start - 20) : start]
    if not 7 <= sum(map(str.isdigit, number)) <= 15 or DATE.match(number) or IPV4.fullmatch(number):
        return False
    if not number.startswith("+") and (not SEPARATED.search(number) or OF_ANOTHER_KIND.search(before)):
        return False
    phonenumbers: Any = need("phonenumbers", "curate")
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(number, region)))
    except phonenumbers.NumberParseException:
        return False


def ibans(text: str) -> Iterator[Found]:
    """Bank accounts of countries in the registry whose check digits are right (ISO 7064, mod 97)."""
    for match in IBAN.finditer(text):
        length = IBAN_LENGTHS.get(match[0][:2].upper(), 0)
        end, characters = match.start(), ""
        while len(characters) < length and end < len(text):
            if text[end].isascii() and text[end].isalnum():
                characters += text[end].upper()
            elif text[end] not in " -" or text[end - 1] in " -":
                break
            end += 1
        is_whole = length and len(characters) == length and not (end < len(text) and _is_ascii_alnum(text[end]))
        if is_whole and int("".join(str(int(c, 36)) for c in characters[4:] + characters[:4])) % 97 == 1:
            yield Found(match.start(), end)


def card_numbers(text: str) -> Iterator[Found]:
    """Of the large networks, with a right check digit (ISO/IEC 7812, Luhn)."""
    for match in CARD.finditer(text):
        digits = [int(character) for character in match[0] if character.isdigit()]
        if _is_of_a_network(digits) and _luhn(digits):
            yield Found(*match.span())


def secrets(text: str) -> Iterator[Found]:
    yield from (Found(*match.span()) for match in SECRETS.finditer(text))


def _is_public(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address.is_global and address in ipaddress.ip_network("2000::/3")
    return address.is_global and text not in PUBLIC_RESOLVERS


def _is_ascii_alnum(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _is_of_a_network(digits: list[int]) -> bool:
    """Visa, Mastercard, American Express, Discover, JCB, Diners, by the first digits and the length."""
    length, start = len(digits), int("".join(map(str, digits[:4])))
    first2 = start // 100
    return (
        (digits[0] == 4 and length in (13, 16, 19))
        or ((51 <= first2 <= 55 or 2221 <= start <= 2720) and length == 16)
        or (first2 in (34, 37) and length == 15)
        or ((start == 6011 or first2 in (64, 65)) and 16 <= length <= 19)
        or (3528 <= start <= 3589 and 16 <= length <= 19)
        or ((first2 in (36, 38, 39) or 3000 <= start <= 3059) and 14 <= length <= 19)
    )


def _luhn(digits: list[int]) -> bool:
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


Finder = Callable[[str], Iterator[Found]]
