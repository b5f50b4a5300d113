"""Published documents: what the public is sent, kept as files, ready to be sent.

A document is one file: a line of JSON that says how it is sent, then its body three times, plain,
gzipped and in brotli. It is replaced by a rename, so that a reader has all of the old one or all of
the new one. No Django here: a web process answers from these files before Django sees the request,
also while the database is away.

A document says until when it is fresh. Whoever publishes renews it well before that; past that
time it is sent with a note that it may be out of date.
"""

import gzip
import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import brotli

STALE_MARK = b"<!--stale-->"
"""Where in a page the note stands that it is stale."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,79}")
_ENCODINGS = ("", "gzip", "br")
_WORTH_PACKING = 200
# A file is read again when it changed; how many are kept in memory at most.
_KEPT = 512

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Document:
    """One thing to be sent. `headers` are those beside type, length, encoding and ETag.

    `stale_note` is put at the document's mark when it is sent after `fresh_until` (Unix seconds).
    """

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fresh_until: float | None = None
    stale_note: str = ""

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:20]

    def packed(self) -> bytes:
        """The file's content."""
        bodies = [self.body, *_encoded(self.body, self.content_type, is_hurried=False)]
        head = {
            "digest": self.digest,
            "content_type": self.content_type,
            "headers": dict(self.headers),
            "fresh_until": self.fresh_until,
            "stale_note": self.stale_note,
            "sizes": [len(body) for body in bodies],
        }
        return json.dumps(head).encode() + b"\n" + b"".join(bodies)


def _encoded(body: bytes, content_type: str, *, is_hurried: bool) -> list[bytes]:
    """Gzipped and in brotli; empty where that is not worth it."""
    if len(body) < _WORTH_PACKING or (
        content_type.startswith("image/") and "svg" not in content_type
    ):
        return [b"", b""]
    level = 1 if is_hurried else 9
    packed = gzip.compress(body, compresslevel=level, mtime=0)
    return [packed, brotli.compress(body, quality=level)]


@dataclass(frozen=True)
class Answer:
    """What is sent: status, headers, body."""

    status: int
    headers: Headers
    body: bytes


class Published:
    """A document as it was read from its file."""

    def __init__(self, packed: bytes) -> None:
        line, _, rest = packed.partition(b"\n")
        self._head: dict[str, Any] = json.loads(line)
        self._bodies: list[bytes] = []
        start = 0
        for size in self._head["sizes"]:
            self._bodies.append(rest[start : start + size])
            start += size
        if start != len(rest):
            raise ValueError("The file is not whole.")
        self._ready: dict[tuple[bool, int], tuple[bytes, Headers, bytes]] = {}
        self._stale: list[bytes] | None = None

    @property
    def digest(self) -> str:
        return str(self._head["digest"])

    @property
    def body(self) -> bytes:
        return self._bodies[0]

    def is_stale(self, now: float) -> bool:
        until = self._head["fresh_until"]
        return until is not None and now > until

    def answer(
        self, *, accept_encoding: str = "", if_none_match: str = "", now: float | None = None
    ) -> Answer:
        """The document, or 304 where the asker has it already (RFC 9110, 13.1.2)."""
        is_stale = self.is_stale(time.time() if now is None else now)
        etag, headers, body = self._variant(is_stale, _choose(accept_encoding))
        if if_none_match and etag.decode() in if_none_match:
            return Answer(304, [one for one in headers if one[0] not in _OF_A_BODY], b"")
        return Answer(200, headers, body)

    def _variant(self, is_stale: bool, encoding: int) -> tuple[bytes, Headers, bytes]:
        bodies = self._stale_bodies() if is_stale else self._bodies
        if not bodies[encoding]:
            encoding = 0
        found = self._ready.get((is_stale, encoding))
        if found is None:
            found = self._made(is_stale, encoding, bodies[encoding])
            self._ready[is_stale, encoding] = found
        return found

    def _made(self, is_stale: bool, encoding: int, body: bytes) -> tuple[bytes, Headers, bytes]:
        name = _ENCODINGS[encoding]
        marks = "-".join(filter(None, [self.digest, "stale" if is_stale else "", name]))
        etag = f'"{marks}"'.encode()
        headers: Headers = [
            (b"content-type", self._head["content_type"].encode()),
            (b"content-length", str(len(body)).encode()),
            (b"etag", etag),
            (b"vary", b"Accept-Encoding"),
            *((k.lower().encode(), v.encode()) for k, v in self._head["headers"].items()),
        ]
        if name:
            headers.append((b"content-encoding", name.encode()))
        return etag, headers, body

    def _stale_bodies(self) -> list[bytes]:
        if self._stale is None:
            note = self._head["stale_note"].encode()
            body = self._bodies[0].replace(STALE_MARK, note, 1)
            self._stale = [body, *_encoded(body, self._head["content_type"], is_hurried=True)]
        return self._stale


_OF_A_BODY = (b"content-length", b"content-encoding", b"content-type")


def _choose(accept_encoding: str) -> int:
    """The best encoding that the asker takes, as an index of `_ENCODINGS`."""
    refused = re.findall(r"(\w+)\s*;\s*q=0(?:\.0*)?(?![.\d])", accept_encoding)
    offered = {part.split(";")[0].strip() for part in accept_encoding.lower().split(",")}
    for place in (2, 1):
        if _ENCODINGS[place] in offered and _ENCODINGS[place] not in refused:
            return place
    return 0


class Shelf:
    """A directory of documents, each under a group (a page) and a name.

    Reading keeps what was read in memory for as long as its file is the same.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kept: dict[tuple[str, str], tuple[tuple[int, int, int], Published]] = {}

    def read(self, group: str, name: str) -> Published | None:
        """The document, None if there is none (or no such thing could be)."""
        if not (_NAME.fullmatch(group) and _NAME.fullmatch(name)):
            return None
        path = f"{self.root}/{group}/{name}"
        key = (group, name)
        try:
            seen = Path(path).stat()
            stamp = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
            kept = self._kept.get(key)
            if kept and kept[0] == stamp:
                return kept[1]
            published = Published(Path(path).read_bytes())
        except (OSError, ValueError):
            self._kept.pop(key, None)
            return None
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[key] = (stamp, published)
        return published

    def put(self, group: str, documents: Mapping[str, Document]) -> None:
        """Make these the group's documents; others that it had are gone."""
        directory = self._directory(group)
        directory.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            self._write(directory / name, document.packed())
        for path in directory.iterdir():
            # what begins with a dot is being written, by another process perhaps
            if path.name not in documents and not path.name.startswith("."):
                path.unlink(missing_ok=True)

    def keep_only(self, groups: Iterable[str]) -> None:
        """Forget every other group."""
        wanted = set(groups)
        for group in [one for one in self.groups() if one not in wanted]:
            self.forget(group)

    def forget(self, group: str) -> None:
        directory = self._directory(group)
        with suppress(OSError):
            for path in directory.iterdir():
                path.unlink(missing_ok=True)
            directory.rmdir()

    def groups(self) -> Iterator[str]:
        with suppress(FileNotFoundError):
            yield from (path.name for path in self.root.iterdir() if path.is_dir())

    def _directory(self, group: str) -> Path:
        if not _NAME.fullmatch(group):
            raise ValueError(f"{group!r} can't be a group's name.")
        return self.root / group

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        scratch = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        scratch.touch(mode=0o600)
        try:
            scratch.write_bytes(content)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
