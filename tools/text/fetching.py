"""Pages from the web, one after the other, politely. Nothing here runs unless it is asked for.

robots.txt is heeded (RFC 9309), a host is left in peace between two requests, sizes, kinds and times have limits, and
nobody is led to an address that is not public. What was answered is kept as a WARC file, which `read_examples` reads.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import ipaddress
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit, urlunsplit
from urllib.robotparser import RobotFileParser

from scratchgrad.errors import UserError, quoted
from scratchgrad.files import atomic_file

REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
MAX_ROBOTS = 500 << 10  # bytes of a robots.txt that are heeded (RFC 9309, section 2.5)
PIECE = 1 << 16


@dataclass(frozen=True)
class FetchSettings:
    """delay: seconds between two requests to a host; more where its robots.txt asks for more. timeout: seconds that an
    answer may take. allow_private: also go to addresses that are not public, as of this machine or its network."""

    user_agent: str = "scratchgrad-curate"
    delay: float = 1.0
    timeout: float = 30.0
    max_bytes: int = 8 << 20
    content_types: tuple[str, ...] = ("text/html", "application/xhtml+xml", "text/plain")
    allow_private: bool = False


@dataclass(frozen=True)
class Fetched:
    """path: of the WARC file. reason: why there is none."""

    url: str
    path: Path | None
    reason: str = ""


class _Refused(Exception):
    """Why a page is not fetched."""


@dataclass(frozen=True)
class _Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


def read_urls(path: Path) -> list[str]:
    """One of each line that is neither blank nor begins with #; UserError for one that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"'{path}' cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    urls = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            urls.append(_normal(line.strip()))
        except _Refused as error:
            raise UserError(f"'{path}', line {number}: {quoted(line.strip())}: {error}") from None
    return list(dict.fromkeys(urls))


def fetch(
    urls: Iterable[str],
    folder: Path,
    settings: FetchSettings = FetchSettings(),
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Fetched]:
    """What became of each URL, when it is done: `folder` gets one .warc.gz of each page, whole or not at all.

    A page whose file is there already is not fetched again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hosts = _Hosts(settings, sleep)
    for url in urls:
        path = folder / f"{hashlib.blake2b(url.encode(), digest_size=16).hexdigest()}.warc.gz"
        if not path.exists():
            try:
                _write(path, url, hosts.page(_normal(url)))
            except _Refused as error:
                yield Fetched(url, None, str(error))
                continue
        yield Fetched(url, path)


@dataclass
class _Hosts:
    settings: FetchSettings
    sleep: Callable[[float], None]
    robots: dict[str, RobotFileParser] = field(default_factory=dict)
    unasked: dict[str, str] = field(default_factory=dict)  # why there are no rules of a host
    free_at: dict[str, float] = field(default_factory=dict)

    def page(self, url: str) -> _Answer:
        """The answer at the end of all redirects."""
        for _ in range(MAX_REDIRECTS + 1):
            if not self._rules(url).can_fetch(self.settings.user_agent, url):
                raise _Refused(self.unasked.get(_host(url), "its robots.txt forbids it"))
            answer = self._request(url, self.settings.max_bytes, self.settings.content_types)
            if answer.status not in REDIRECTS:
                if not 200 <= answer.status < 300:
                    raise _Refused(f"status {answer.status}")
                return answer
            url = _normal(urljoin(url, answer.header("location")))
        raise _Refused(f"more than {MAX_REDIRECTS} redirects")

    def _rules(self, url: str) -> RobotFileParser:
        host = _host(url)
        if host not in self.robots:
            rules = RobotFileParser()
            try:
                answer = self._robots_txt(urljoin(url, "/robots.txt"))
                if answer.status >= 500:
                    raise _Refused(f"status {answer.status}")
                if answer.status >= 300:
                    rules.parse([])
                else:
                    rules.parse(answer.body.decode("utf-8", "replace").splitlines())
            except _Refused as error:  # one that cannot be asked forbids all (RFC 9309, section 2.3.1.4)
                rules.parse(["User-agent: *", "Disallow: /"])
                self.unasked[host] = f"its robots.txt cannot be read: {error}"
            self.robots[host] = rules
        return self.robots[host]

    def _robots_txt(self, url: str) -> _Answer:
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._request(url, MAX_ROBOTS, (), cut=True)
            if answer.status not in REDIRECTS:
                break
            url = _normal(urljoin(url, answer.header("location")))
        return answer

    def _request(self, url: str, most: int, content_types: tuple[str, ...], cut: bool = False) -> _Answer:
        host = _host(url)
        rules = self.robots.get(host)
        asked = rules.crawl_delay(self.settings.user_agent) if rules is not None else None
        wait = self.free_at.get(host, 0.0) - time.monotonic()
        if wait > 0:
            self.sleep(wait)
        try:
            return _request(url, self.settings, most, content_types, cut)
        finally:
            self.free_at[host] = time.monotonic() + max(self.settings.delay, float(asked or 0))


def _normal(url: str) -> str:
    """Without a fragment, and with what HTTP does not allow escaped; _Refused where it is no address of a page."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _Refused("it is no URL") from None
    if parts.scheme not in ("http", "https"):
        raise _Refused("only http: and https: are fetched")
    if not host or parts.username is not None:
        raise _Refused("it is no URL of a host without a user")
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise _Refused("its host has no name") from None
    where = (f"[{ascii_host}]" if ":" in ascii_host else ascii_host) + (f":{port}" if port is not None else "")
    path = quote(parts.path or "/", safe="%/:=&~+!$,;'@()*[]")
    return urlunsplit((parts.scheme, where, path, quote(parts.query, safe="%/:=&?~+!$,;'@()*[]"), ""))


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return found.is_global and not found.is_multicast and (mapped is None or mapped.is_global)


def _connected(host: str, port: int, settings: FetchSettings) -> socket.socket:
    """A socket to an address that was looked at: asked for once, so that no second answer can be another one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _Refused(f"its host is not found: {error.strerror}") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not settings.allow_private and not all(map(_is_public, addresses)):
        raise _Refused("its address is not public")
    return socket.create_connection((addresses[0], port), timeout=settings.timeout)


def _request(
    url: str, settings: FetchSettings, most: int, content_types: tuple[str, ...], cut: bool
) -> _Answer:  # fmt: skip
    """One answer, without following where it leads. cut: of too long a body the beginning is enough."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    is_secure = parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    deadline = time.monotonic() + settings.timeout
    connection = http.client.HTTPConnection(parts.hostname, port, timeout=settings.timeout)
    try:
        connection.sock = _connected(parts.hostname, port, settings)
        if is_secure:
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=parts.hostname)
        headers = {"Host": parts.netloc, "User-Agent": settings.user_agent, "Accept-Encoding": "identity"}
        connection.request("GET", urlunsplit(("", "", parts.path, parts.query, "")), headers=headers)
        response = connection.getresponse()
        headers_got = response.getheaders()
        kind = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        if 200 <= response.status < 300:
            if content_types and kind and kind not in content_types:
                raise _Refused(f"its type is {quoted(kind)}")
            if not cut and (response.length or 0) > most:
                raise _Refused(f"more than {most:,} bytes")
        body = _body(response, most, deadline)
        if len(body) > most and not cut:
            raise _Refused(f"more than {most:,} bytes")
        return _Answer(response.status, response.reason, headers_got, body[:most])
    except (OSError, http.client.HTTPException) as error:
        raise _Refused(f"no answer: {str(error) or type(error).__name__}") from None
    finally:
        connection.close()


def _body(response: http.client.HTTPResponse, most: int, deadline: float) -> bytes:
    """The body, or a little more than `most` bytes of it."""
    body = b""
    while len(body) <= most and (piece := response.read1(PIECE)):
        body += piece
        if time.monotonic() > deadline:
            raise _Refused("it takes too long")
    if response.length and len(body) <= most:
        raise _Refused("the answer ends early")
    return body


def _write(path: Path, url: str, answer: _Answer) -> None:
    """A response record. The body is stored as it was read, so what said how it was cut for the way is renamed."""
    head = f"HTTP/1.1 {answer.status} {answer.reason}\r\n"
    for name, value in answer.headers:
        if name.lower() in ("transfer-encoding", "content-length"):
            name = f"X-Crawler-{name}"
        head += f"{name}: {value}\r\n"
    block = (head + f"Content-Length: {len(answer.body)}\r\n\r\n").encode("utf-8", "replace") + answer.body
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    record = (
        (
            f"WARC/1.1\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{uuid.uuid4()}>\r\nWARC-Date: {now}\r\n"
            f"WARC-Target-URI: {url}\r\nContent-Type: application/http; msgtype=response\r\n"
            f"Content-Length: {len(block)}\r\n\r\n"
        ).encode()
        + block
        + b"\r\n\r\n"
    )
    try:
        with atomic_file(path) as file:
            file.write(gzip.compress(record, mtime=0))
    except OSError as error:
        raise UserError(f"'{path}' cannot be written: {error.strerror}") from None
