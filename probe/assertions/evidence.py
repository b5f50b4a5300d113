"""What an answer showed: the stuff that assertions are about."""

from __future__ import annotations

import codecs
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from probe.assertions.markup import Document, MarkupError, Selector
from probe.assertions.schema import Source
from probe.values import NO_PHASES, Phases

MAX_PARSED_BYTES = 4_194_304
"""How large a body may be that is read as JSON; parsed it takes many times as much memory."""

LONGEST_LOOK_S = 0.5
"""How much of this process's time the assertions of one check may take: a path, a selector or a
pattern may ask more of an answer than all other checks can wait for."""

_NO_CHARSETS = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"}
"""Codecs of Python's that no document is written in; some take quadratic time."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_META = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_XML_DECLARATION = re.compile(rb"<\?xml[^>]{0,100}encoding\s*=\s*[\"']([\w.:-]{1,40})")


class UnreadableError(Exception):
    """The answer has no value to compare, for the reason given as text."""


@dataclass
class Evidence:
    """`headers` have lower-case names; a header that came several times has its values joined by a
    comma (RFC 9110 section 5.3). `charset` is what the server said, empty where it said nothing.
    `certificate` is the server's own, DER or PEM. `facts` hold all that needs no reading: by source
    a value, a list of values, or a mapping from property to either.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    charset: str = ""
    latency_ms: float | None = None
    phases: Phases = NO_PHASES
    certificate: bytes | None = None
    facts: Mapping[Source, Any] = field(default_factory=dict)
    _looks_until: float = field(default=0.0, init=False, repr=False)

    def look(self) -> None:
        """To be called while the answer is looked through, at each step of what may have very many.
        Raises UnreadableError once that has taken too long."""
        now = time.thread_time()
        if not self._looks_until:
            self._looks_until = now + LONGEST_LOOK_S
        elif now > self._looks_until:
            raise UnreadableError("the answer is too large to look through for it")

    def looked_through(self, found: Iterable[Any]) -> Iterator[Any]:
        """The same values, each of which may be large. Raises UnreadableError."""
        for value in found:
            self.look()
            yield value

    @property
    def address(self) -> str:
        """Where the answer came from; empty where the kind doesn't say."""
        return str(self.facts.get(Source.ADDRESS) or "")

    @cached_property
    def codec(self) -> str:
        """How the body is read: by its mark, what the server said, or what it says itself."""
        for mark, name in _MARKS:
            if self.body.startswith(mark):
                return name
        names = [self.charset]
        if not self.charset:
            head = self.body[:1024]  # WHATWG HTML, section 13.2.3.2
            found = _META.search(head) or _XML_DECLARATION.match(head)
            names = [found.group(1).decode("ascii", "replace")] if found else []
        for name in names:
            try:
                codec = codecs.lookup(name).name
                b"".decode(codec)  # some codecs are not for text
            except (LookupError, ValueError):  # unknown, or no name at all
                continue
            if codec not in _NO_CHARSETS:
                return codec
        return "utf-8"

    @cached_property
    def text(self) -> str:
        try:
            return self.body.decode(self.codec, "replace")
        except (LookupError, ValueError):  # a codec that knows no replacement
            return self.body.decode("utf-8", "replace")

    @cached_property
    def is_garbled(self) -> bool:
        """Whether bytes of the body are none of the charset that it is said to be in."""
        try:
            self.body.decode(self.codec)
        except (LookupError, ValueError):
            return True
        return False

    @cached_property
    def document(self) -> Any:
        """The body as JSON. Raises ValueError when it is not."""
        if len(self.body) > MAX_PARSED_BYTES:
            raise ValueError(f"larger than {MAX_PARSED_BYTES:,} bytes")
        try:
            return json.loads(self.body)
        except UnicodeDecodeError:
            return json.loads(self.text)  # JSON is UTF-8, but servers have their own ideas
        except RecursionError:
            raise ValueError("nested too deeply") from None

    @cached_property
    def certificate_facts(self) -> Mapping[str, Any]:
        """What the certificate says, by the names of `schema.CERTIFICATE_PROPERTIES`."""
        if self.certificate is None:
            return {}
        from probe.certificates import facts_of

        return facts_of(self.certificate)

    def select(self, selector: Selector, *, is_html: bool) -> list[str]:
        """The texts that a selector finds in the body. Raises UnreadableError."""
        try:
            return Document(self.body, self.codec, is_html=is_html).find(selector, self.look)
        except MarkupError as error:
            raise UnreadableError(
                f"the body is not {'HTML' if is_html else 'XML'} ({error})"
            ) from None
