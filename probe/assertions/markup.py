"""Texts out of HTML and XML by CSS selector, in one pass and in linear time.

The document is never built: a parser (lxml, which repairs HTML as browsers do and takes no
entities from outside) reports elements as they come, and each selector is followed like a state
machine: an element knows how far the selector matched up to itself, its ancestors and its elder
siblings. So work is bounded by elements times the selector's length, whatever either looks like.

    h1                          by name; * for any
    .price  #total              by class and id
    [data-state=ok]             by attribute; also ^= $= *= ~= |= and without a value
    ul > li:first-child         child; a space: descendant; + and ~: siblings; :nth-child(2)
    h1, h2                      either
    meta[name=version]::attr(content)   the attribute's value rather than the text

In XML names are compared without their prefix, and case counts. There is no XPath: it needs the
whole document in memory, and what an expression costs can't be bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MAX_STEPS = 20
MAX_ELEMENTS = 100_000
MAX_DEPTH = 500
MAX_FOUND = 100
MAX_TEXT_CHARS = 10_000
"""Limits: of a selector, of a document, and of what is kept of what was found."""


class MarkupError(Exception):
    """A document that can't be read, and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One element of a path: how it relates to the one before (`' '`, `>`, `+`, `~`; empty at the
    start) and what it must be."""

    combinator: str
    name: str
    attributes: tuple[tuple[str, str, str], ...]
    position: int


@dataclass(frozen=True, slots=True)
class Selector:
    """`paths`: alternatives. `attribute`: whose value is wanted rather than the text."""

    paths: tuple[tuple[Step, ...], ...]
    attribute: str


_IDENTIFIER = r"[A-Za-z_\u0080-\uffff][\w\u0080-\uffff-]*"
_TOKEN = re.compile(
    rf"""(?P<combinator>\s*[>+~,]\s*|\s+)
    |(?P<name>\*|{_IDENTIFIER})
    |\#(?P<id>[\w\u0080-\uffff-]+)
    |\.(?P<class>-?{_IDENTIFIER})
    |\[\s*(?P<attribute>{_IDENTIFIER}(?::{_IDENTIFIER})?)\s*
       (?:(?P<operator>[~|^$*]?=)\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'\]]+))\s*)?\]
    |:(?P<first>first-child)
    |:nth-child\(\s*(?P<nth>[1-9]\d{{0,5}})\s*\)
    |::attr\(\s*(?P<wanted>{_IDENTIFIER})\s*\)$""",
    re.VERBOSE,
)


@lru_cache(maxsize=1024)
def compile_selector(text: str) -> Selector:
    """Raises ValueError with a sentence for the user."""
    paths: list[list[Step]] = [[]]
    combinator, wanted, at = "", "", 0
    parts: dict[str, Any] = {}

    def end_step() -> None:
        if not parts:
            raise ValueError(f"This is not a valid CSS selector: an element is missing at {at}")
        paths[-1].append(
            Step(
                combinator,
                parts.get("name", "*"),
                tuple(parts.get("attributes", ())),
                parts.get("position", 0),
            )
        )
        parts.clear()

    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or wanted:
            raise ValueError(
                f"This is not a valid CSS selector, or one of a kind that is not known here, at"
                f" {text[at : at + 30]!r}"
            )
        if (found := match.group("combinator")) is not None:
            end_step()
            combinator = found.strip() or " "
            if combinator == ",":
                paths.append([])
                combinator = ""
        elif found := match.group("wanted"):
            wanted = found
        elif match.group("name") and parts:
            raise ValueError(f"This is not a valid CSS selector: a name at {text[at : at + 30]!r}")
        else:
            _add_part(parts, match)
        at = match.end()
    end_step()
    if sum(map(len, paths)) > MAX_STEPS:
        raise ValueError(f"A selector may name {MAX_STEPS} elements at most")
    return Selector(tuple(map(tuple, paths)), wanted)


def _add_part(parts: dict[str, Any], match: re.Match[str]) -> None:
    attributes = parts.setdefault("attributes", [])
    if name := match.group("name"):
        parts["name"] = name
    elif value := match.group("id"):
        attributes.append(("id", "=", value))
    elif value := match.group("class"):
        attributes.append(("class", "~=", value))
    elif name := match.group("attribute"):
        values = match.group("double"), match.group("single"), match.group("bare")
        value = next((value for value in values if value is not None), "")
        attributes.append((name, match.group("operator") or "", value))
    else:
        parts["position"] = int(match.group("nth") or 1)


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "": lambda actual, value: True,
    "=": lambda actual, value: actual == value,
    "~=": lambda actual, value: value in actual.split(),
    "|=": lambda actual, value: actual == value or actual.startswith(f"{value}-"),
    "^=": lambda actual, value: bool(value) and actual.startswith(value),
    "$=": lambda actual, value: bool(value) and actual.endswith(value),
    "*=": lambda actual, value: bool(value) and value in actual,
}


@dataclass(slots=True)
class _Element:
    """An element that is open. A set holds (path, step) that matched: the element itself, its
    ancestors, its last child so far, and all its children so far."""

    own: frozenset[tuple[int, int]] = frozenset()
    ancestors: frozenset[tuple[int, int]] = frozenset()
    last_child: frozenset[tuple[int, int]] = frozenset()
    children: set[tuple[int, int]] = field(default_factory=set)
    child_count: int = 0
    pieces: list[str] | None = None


class _Finder:
    """What lxml reports to, as its `target`."""

    def __init__(self, selector: Selector, look: Callable[[], None], *, is_html: bool) -> None:
        self._selector = selector
        self._look = look
        self._is_html = is_html
        self._open = [_Element()]
        self._listening: list[list[str]] = []
        self._left = MAX_TEXT_CHARS * MAX_FOUND
        self._elements = 0
        self.found: list[list[str]] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._look()
        self._elements += 1
        if self._elements > MAX_ELEMENTS or len(self._open) > MAX_DEPTH:
            raise MarkupError("too large or nested too deeply")
        parent = self._open[-1]
        parent.child_count += 1
        own = self._matches(tag.rpartition("}")[2], attributes, parent)
        element = _Element(own, parent.ancestors | parent.own)
        parent.last_child = own
        parent.children |= own
        self._open.append(element)
        paths = self._selector.paths
        if any(step == len(paths[path]) - 1 for path, step in own):
            self._begin_text(element, attributes)

    def _matches(
        self, name: str, attributes: Mapping[str, str], parent: _Element
    ) -> frozenset[tuple[int, int]]:
        own = set()
        for path, steps in enumerate(self._selector.paths):
            for at, step in enumerate(steps):
                before = (path, at - 1)
                match step.combinator:
                    case "":
                        leads_here = True
                    case ">":
                        leads_here = before in parent.own
                    case "+":
                        leads_here = before in parent.last_child
                    case "~":
                        leads_here = before in parent.children
                    case _:
                        leads_here = before in parent.own or before in parent.ancestors
                if leads_here and self._is(step, name, attributes, parent.child_count):
                    own.add((path, at))
        return frozenset(own)

    def _is(self, step: Step, name: str, attributes: Mapping[str, str], position: int) -> bool:
        wanted = step.name.lower() if self._is_html else step.name
        if wanted not in ("*", name) or step.position not in (0, position):
            return False
        for attribute, operator, value in step.attributes:
            actual = self._value(attributes, attribute)
            if actual is None or not _OPERATORS[operator](actual, value):
                return False
        return True

    def _value(self, attributes: Mapping[str, str], name: str) -> str | None:
        if self._is_html:
            return attributes.get(name.lower())
        if (value := attributes.get(name)) is not None:
            return value
        return next((attributes[key] for key in attributes if key.endswith(f"}}{name}")), None)

    def _begin_text(self, element: _Element, attributes: Mapping[str, str]) -> None:
        if len(self.found) >= MAX_FOUND:
            return
        if self._selector.attribute:
            value = self._value(attributes, self._selector.attribute)
            if value is not None:
                self.found.append([value[:MAX_TEXT_CHARS]])
            return
        element.pieces = []
        self.found.append(element.pieces)
        self._listening.append(element.pieces)

    def data(self, text: str) -> None:
        self._look()
        for pieces in self._listening:
            if self._left > 0:
                pieces.append(text)
                self._left -= len(text)

    def end(self, tag: str) -> None:
        element = self._open.pop()
        if element.pieces is not None:
            self._listening = [pieces for pieces in self._listening if pieces is not element.pieces]

    def comment(self, text: str) -> None:
        """Comments are no text."""

    def close(self) -> None:
        """The document is over."""


@dataclass(frozen=True, slots=True)
class Document:
    """A body that is said to be HTML or XML."""

    body: bytes
    codec: str
    is_html: bool

    def find(self, selector: Selector, look: Callable[[], None]) -> list[str]:
        """The texts of what a selector finds, white space collapsed, in order; MAX_FOUND at most.

        `look` is called at each element and text, and may raise. Raises MarkupError.
        """
        from lxml import etree  # large: only for those who use it

        finder = _Finder(selector, look, is_html=self.is_html)
        parser: Any
        if self.is_html:
            parser = etree.HTMLParser(target=finder, encoding="utf-8", huge_tree=False)
        else:
            parser = etree.XMLParser(
                target=finder,
                encoding="utf-8",
                resolve_entities=False,
                no_network=True,
                load_dtd=False,
                huge_tree=False,
            )
        text = self.body.decode(self.codec, "replace")
        try:
            parser.feed(text.encode())
            parser.close()
        except (etree.LxmlError, ValueError) as error:
            raise MarkupError(str(error)[:200] or "it is empty") from None
        return [" ".join("".join(pieces).split())[:MAX_TEXT_CHARS] for pieces in finder.found]
