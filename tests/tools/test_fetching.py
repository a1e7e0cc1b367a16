"""Pages are fetched politely from a real server on this machine."""

import http.server
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from scratchgrad import UserError
from scratchgrad.tools.text import fetching, read_examples
from scratchgrad.tools.text.fetching import FetchSettings, fetch, read_urls

for library in ("fastwarc", "resiliparse"):
    pytest.importorskip(library, reason="the extra curate is not installed")

PAGE = "<html><body><article><p>Ein größerer Satz, und noch ein zweiter dazu.</p></article></body></html>"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((time.monotonic(), self.path, dict(self.headers)))
        status, headers, body = self.server.pages.get(self.path, (404, {}, b"nothing here"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Transfer-Encoding" not in headers and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            for piece in body if isinstance(body, list) else [body]:
                time.sleep(piece) if isinstance(piece, float) else self.wfile.write(piece)
        except OSError:
            pass  # who asked has gone

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.asked, server.pages = [], {}
        server.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


HTML = {"Content-Type": "text/html; charset=iso-8859-1"}
LOCAL = FetchSettings(allow_private=True, delay=0)


def fetched(server, folder, *paths, settings=LOCAL, **options):
    urls = [path if path.startswith(("http", "file")) else server.address + path for path in paths]
    return list(fetch(urls, folder, settings, **options))


def reasons(server, folder, *paths, **options):
    return [page.reason for page in fetched(server, folder, *paths, **options)]


def test_a_page_becomes_a_warc_file_that_is_read(server, tmp_path):
    server.pages["/a?x=1%202"] = (200, HTML, PAGE.encode("latin-1"))
    server.pages["/chunked"] = (200, {**HTML, "Transfer-Encoding": "chunked"}, b"3\r\nabc\r\n0\r\n\r\n")
    first, second = fetched(server, tmp_path, "/a?x=1 2#part", "/chunked")
    (example,) = read_examples(first.path)
    assert example.text() == "Ein größerer Satz, und noch ein zweiter dazu."
    assert example.fields["url"] == f"{server.address}/a?x=1 2#part"
    assert [e.text() for e in read_examples(second.path)] == ["abc"]
    from fastwarc.warc import ArchiveIterator

    record = next(iter(ArchiveIterator(str(first.path), fsspec_args=False)))
    assert record.reader.read() == PAGE.encode("latin-1")
    count = len(server.asked)
    assert fetched(server, tmp_path, "/a?x=1 2#part", "/chunked") == [first, second]
    assert len(server.asked) == count  # they are there already
    assert server.asked[0][1] == "/robots.txt"
    assert all(headers["User-Agent"] == "scratchgrad-curate" for _, _, headers in server.asked)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.path.name, second.path.name])


def test_robots_txt_is_heeded(server, tmp_path):
    for path in ("/open", "/closed/a", "/ours"):
        server.pages[path] = (200, HTML, PAGE.encode())
    server.pages["/robots.txt"] = (200, {}, b"User-agent: *\nDisallow: /closed\nCrawl-delay: 7\n")
    waits = []
    assert reasons(server, tmp_path, "/open", "/closed/a", "/ours", sleep=waits.append) == [
        "",
        "its robots.txt forbids it",
        "",
    ]
    assert "/closed/a" not in [path for _, path, _ in server.asked]
    assert 6 < waits[-1] <= 7
    server.pages["/robots.txt"] = (503, {}, b"")
    assert reasons(server, tmp_path / "again", "/open") == ["its robots.txt cannot be read: status 503"]
    server.pages["/robots.txt"] = (200, {}, b"User-agent: scratchgrad-curate\nDisallow: /\n\nUser-agent: *\nAllow: /\n")
    assert reasons(server, tmp_path / "named", "/open") == ["its robots.txt forbids it"]
    server.pages["/robots.txt"] = (301, {"Location": "/other.txt"}, b"")
    server.pages["/other.txt"] = (200, {}, b"User-agent: *\nDisallow: /open\n")
    assert reasons(server, tmp_path / "moved", "/open", "/ours") == ["its robots.txt forbids it", ""]


def test_a_host_is_left_in_peace_between_requests(server, tmp_path):
    for path in ("/a", "/b"):
        server.pages[path] = (200, HTML, PAGE.encode())
    fetched(server, tmp_path, "/a", "/b", settings=FetchSettings(allow_private=True, delay=0.2))
    times = [when for when, _, _ in server.asked]
    assert len(times) == 3
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(times))


def test_limits(server, tmp_path):
    server.pages |= {
        "/long": (200, {**HTML, "Content-Length": "99999999"}, b"x"),
        "/endless": (200, {**HTML, "Transfer-Encoding": "chunked"}, [b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"] * 100),
        "/image": (200, {"Content-Type": "image/png"}, b"x"), "/cut": (200, {**HTML, "Content-Length": "100"}, [b"x", 0.1]),
        "/slow": (200, {**HTML, "Content-Length": "100"}, [b"x", 0.3] * 10), "/none": (500, {}, b""), "/to": (302, {"Location": "/to"}, b""),
    }  # fmt: skip
    server.pages["/cut"] = (200, {**HTML, "Content-Length": "100", "Connection": "close"}, b"x")
    settings = FetchSettings(allow_private=True, delay=0, max_bytes=100_000, timeout=0.8)
    assert reasons(server, tmp_path, "/long", "/endless", "/image", "/missing", "/none", "/to", settings=settings) == [
        "more than 100,000 bytes", "more than 100,000 bytes", "its type is 'image/png'", "status 404", "status 500",
        "more than 5 redirects",
    ]  # fmt: skip
    began = time.monotonic()
    assert reasons(server, tmp_path, "/slow", settings=settings)[0] in ("it takes too long", "no answer: timed out")
    assert time.monotonic() - began < 5
    assert reasons(server, tmp_path, "/cut", settings=settings)[0].startswith(("no answer", "the answer ends early"))
    assert not list(tmp_path.iterdir())


def test_nobody_is_led_to_an_address_that_is_not_public(server, tmp_path, monkeypatch):
    server.pages["/a"] = (200, HTML, PAGE.encode())
    unasked = "its robots.txt cannot be read: "
    assert reasons(server, tmp_path, "/a", settings=FetchSettings()) == [unasked + "its address is not public"]
    assert not server.asked
    monkeypatch.setattr(fetching, "_is_public", lambda address: address == "127.0.0.1")
    for number, place in enumerate(["http://127.0.0.2/", "http://[::1]/", "http://localhost.localdomain.invalid/"]):
        server.pages["/to"] = (302, {"Location": place}, b"")
        (reason,) = reasons(server, tmp_path / str(number), "/to", settings=FetchSettings(delay=0))
        assert reason.startswith(unasked + ("its address is not public" if number < 2 else "its host is not found"))
    server.pages["/to"] = (302, {"Location": "file:///etc/passwd"}, b"")
    assert reasons(server, tmp_path, "/to", settings=FetchSettings(delay=0)) == ["only http: and https: are fetched"]
    assert reasons(server, tmp_path, "/a", settings=FetchSettings(delay=0)) == [""]


@pytest.mark.parametrize(("address", "is_public"), [
    ("93.184.215.14", True), ("10.0.0.1", False), ("127.0.0.1", False), ("169.254.169.254", False), ("192.168.1.1", False),
    ("100.64.0.1", False), ("0.0.0.0", False), ("::1", False), ("fe80::1%eth0", False), ("fc00::1", False), ("224.0.0.1", False),
    ("::ffff:10.0.0.1", False), ("2002:0a00:0001::", False), ("2606:2800:220:1:248:1893:25c8:1946", True), ("255.255.255.255", False),
])  # fmt: skip
def test_public_addresses(address, is_public):
    assert fetching._is_public(address) == is_public


def test_a_list_of_urls(tmp_path):
    path = tmp_path / "urls.txt"
    path.write_text("# pages\nhttp://example.com\n\nhttps://bücher.example/ä?q=ö#x\nhttp://example.com/\n")
    assert read_urls(path) == ["http://example.com/", "https://xn--bcher-kva.example/%C3%A4?q=%C3%B6"]
    for line, words in {
        "ftp://x.org/": "line 1: 'ftp://x.org/': only http", "http://user@x.org/": "a host without a user", "http://[x": "no URL",
        "http://x:99999/": "no URL", "nonsense": "only http",
    }.items():  # fmt: skip
        path.write_text(line)
        with pytest.raises(UserError, match=words.replace("'", ".")):
            read_urls(path)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_urls(Path(tmp_path / "none.txt"))
