"""Which site a document is from."""

from __future__ import annotations

from urllib.parse import urlsplit

from scratchgrad.tools.curation.document import Document

NONE = ""


def domain_of(document: Document) -> str:
    """The host of `metadata["url"]` in small letters, without www; '' where there is none."""
    return host_of(str(document.stated("url") or ""))


def host_of(url: str) -> str:
    try:
        host = urlsplit(url if "://" in url else f"//{url}").hostname or NONE
    except ValueError:  # an address of IPv6 that is none
        return NONE
    return host.rstrip(".").removeprefix("www.")


def with_parents(host: str) -> list[str]:
    """`a.b.org` and each domain that it belongs to, the nearest first: b.org, org."""
    labels = host.split(".") if host else []
    return [".".join(labels[start:]) for start in range(len(labels))]
