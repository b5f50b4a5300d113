"""Published documents: one file each, replaced at once, sent as the asker can take it."""

import gzip
import threading
from pathlib import Path

import brotli
import pytest

from statuspages.documents import STALE_MARK, Answer, Document, Published, Shelf

BODY = b"<p>" + b"All systems operational. " * 50 + STALE_MARK + b"</p>"


def published(**values: object) -> Published:
    return Published(Document(BODY, "text/html", **values).packed())


def header(answer: Answer, name: str) -> str:
    return dict(answer.headers)[name.encode()].decode()


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0.5, gzip", "br"),
        ("gzip, br;q=0", "gzip"),
        ("gzip;q=0.0", None),
        ("identity", None),
        ("", None),
    ],
)
def test_it_is_sent_in_the_best_encoding_that_is_taken(accepted: str, encoding: str | None) -> None:
    answer = published().answer(accept_encoding=accepted)
    unpack = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[encoding]
    assert unpack(answer.body) == BODY
    assert dict(answer.headers).get(b"content-encoding") == (
        encoding.encode() if encoding else None
    )
    assert header(answer, "content-length") == str(len(answer.body))
    assert header(answer, "vary") == "Accept-Encoding"


def test_who_has_it_already_is_told_so() -> None:
    document = published()
    first = document.answer(accept_encoding="br")
    again = document.answer(accept_encoding="br", if_none_match=header(first, "etag"))
    assert (again.status, again.body) == (304, b"")
    assert header(again, "etag") == header(first, "etag")
    assert document.answer(if_none_match=header(first, "etag")).status == 200  # another encoding


def test_a_weak_tag_of_a_proxy_counts_too() -> None:
    document = published()
    etag = header(document.answer(), "etag")
    assert document.answer(if_none_match=f'W/{etag}, "other"').status == 304


def test_past_its_time_it_says_that_it_may_be_out_of_date() -> None:
    document = published(fresh_until=1000.0, stale_note="<b>old</b>")
    fresh, stale = document.answer(now=999), document.answer(now=1001, accept_encoding="gzip")
    assert fresh.body == BODY
    assert gzip.decompress(stale.body) == BODY.replace(STALE_MARK, b"<b>old</b>")
    assert header(fresh, "etag") != header(stale, "etag")


def test_what_is_put_is_read(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.put(
        "acme", {"index": Document(BODY, "text/html", {"X-A": "b"}), "json": Document(b"{}", "t/j")}
    )
    found = shelf.read("acme", "index")
    assert found is not None
    assert found.answer().body == BODY
    assert header(found.answer(), "x-a") == "b"
    assert shelf.read("acme", "index") is found  # not read again

    shelf.put("acme", {"index": Document(b"new", "text/html")})

    renewed = shelf.read("acme", "index")
    assert renewed is not None
    assert renewed.answer().body == b"new"
    assert shelf.read("acme", "json") is None


def test_groups_that_are_no_more_are_forgotten(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for group in ("a", "b"):
        shelf.put(group, {"index": Document(b"x", "t/p")})
    shelf.keep_only(["b"])
    assert list(shelf.groups()) == ["b"]
    assert shelf.read("a", "index") is None


@pytest.mark.parametrize("name", ["..", "../acme", "", ".hidden", "a/b", "A"])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "index").write_bytes(Document(BODY, "t/p").packed())
    assert Shelf(tmp_path / "shelf").read(name, "index") is None
    assert Shelf(tmp_path / "shelf").read("acme", name) is None


def test_a_damaged_file_is_as_good_as_none(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.put("acme", {"index": Document(BODY, "text/html")})
    path = tmp_path / "acme" / "index"
    path.write_bytes(path.read_bytes()[:-10])
    assert shelf.read("acme", "index") is None


def test_a_reader_never_sees_half_of_it(tmp_path: Path) -> None:
    """One writes two versions in turn while another reads from the disk each time."""
    versions = [b"a" * 50_000, b"b" * 90_000]
    Shelf(tmp_path).put("acme", {"index": Document(versions[0], "t/p")})
    done = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not done.is_set():
            found = Shelf(tmp_path).read("acme", "index")
            assert found is not None
            seen.add(found.answer().body)

    reader = threading.Thread(target=read)
    reader.start()
    writer = Shelf(tmp_path)
    for turn in range(40):
        writer.put("acme", {"index": Document(versions[turn % 2], "t/p")})
    done.set()
    reader.join()
    assert seen <= set(versions)
    assert seen
