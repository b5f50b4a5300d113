"""Where published documents are kept and under which addresses they are asked for. No Django.

public/pages/NAME/      the documents of a page that is open
public/gated/NAME/      those of one with a password, and its gate
public/badges/KEY/      a monitor's badges
public/hosts.json       domains of their own, and the pages that they show
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from statuspages.documents import Published, Shelf

# What follows a page's name in an address, and the document that it asks for.
DOCUMENTS = {
    "/": "index",
    "/history/": "history",
    "/embed/": "embed",
    "/page.css": "page.css",
    "/logo": "logo",
    "/badge.svg": "badge",
    ".json": "json",
    ".rss": "rss",
    ".atom": "atom",
    ".ics": "ics",
}
BADGES = ("status", "uptime", "latency")

_PAGE = re.compile(r"/status/([a-z0-9][a-z0-9_-]{0,79})([/.].*)")
_BADGE = re.compile(r"/badge/([0-9a-f-]{36})/([a-z]+)\.svg")


@dataclass(frozen=True, slots=True)
class Place:
    """A document's shelf, group and name."""

    shelf: Shelf
    group: str
    name: str

    def read(self) -> Published | None:
        return self.shelf.read(self.group, self.name)


class PublicFiles:
    """All that is published on this machine."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "public"
        self.pages = Shelf(self.root / "pages")
        self.gated = Shelf(self.root / "gated")
        self.badges = Shelf(self.root / "badges")
        self._hosts: tuple[int, Mapping[str, str]] = (0, {})

    def locate(self, path: str) -> Place | None:
        """What an address asks for, if that is open to everybody; it may not be there."""
        if match := _PAGE.fullmatch(path):
            name, rest = match.groups()
            document = DOCUMENTS.get(rest)
            return Place(self.pages, name, document) if document else None
        if match := _BADGE.fullmatch(path):
            key, kind = match.groups()
            return Place(self.badges, key, kind) if kind in BADGES else None
        return None

    @property
    def hosts(self) -> Mapping[str, str]:
        """The pages' public names by the domains that are theirs alone."""
        path = self.root / "hosts.json"
        try:
            changed_at = path.stat().st_mtime_ns
            if changed_at != self._hosts[0]:
                self._hosts = (changed_at, json.loads(path.read_bytes()))
        except (OSError, ValueError):
            self._hosts = (0, {})
        return self._hosts[1]

    def put_hosts(self, hosts: Mapping[str, str]) -> None:
        if hosts == self.hosts:
            return
        self.root.mkdir(parents=True, exist_ok=True)
        scratch = self.root / ".hosts.json"
        scratch.write_text(json.dumps(dict(hosts)))
        scratch.replace(self.root / "hosts.json")
