"""How PostgreSQL goes about the statements that it is given: their plans, seen as they are run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten
from typing import Any
from unittest.mock import patch

import psycopg

_EXPLAINABLE = ("SELECT", "WITH", "UPDATE", "DELETE", "INSERT")


@dataclass(frozen=True, slots=True)
class Plan:
    """One statement's: the text, and how it reads which tables."""

    statement: str
    scans: "tuple[Scan, ...]"

    def scanned_whole(self) -> list[str]:
        """The tables that are read from one end to the other."""
        return [scan.table for scan in self.scans if scan.node == "Seq Scan"]

    def __str__(self) -> str:
        return f"{self.statement[:70]}: {'; '.join(map(str, self.scans))}"


@dataclass(frozen=True, slots=True)
class Scan:
    """`condition` is what bounds the part of the index that is read."""

    node: str
    table: str
    index: str = ""
    condition: str = ""

    def __str__(self) -> str:
        condition = shorten(self.condition, 120, placeholder=" ...")
        return f"{self.node} on {self.index or self.table} {condition}".rstrip()


@contextmanager
def watch_plans() -> Iterator[list[Plan]]:
    """Explain each statement of this process before it is run, in the same transaction."""
    plans: list[Plan] = []
    run = psycopg.Cursor.execute

    def explain_and_run(
        cursor: "psycopg.Cursor[Any]", query: Any, params: Any = None, **options: Any
    ) -> Any:
        text = " ".join(query.split()) if isinstance(query, str) else ""
        if text.startswith(_EXPLAINABLE):
            run(cursor, f"EXPLAIN (FORMAT JSON) {query}", params, **options)
            row = cursor.fetchone()
            assert row is not None
            (found,) = row
            (whole,) = found if isinstance(found, list) else json.loads(found)
            plans.append(Plan(text, tuple(_scans(whole["Plan"]))))
        return run(cursor, query, params, **options)

    with patch.object(psycopg.Cursor, "execute", explain_and_run):
        yield plans


def _scans(node: dict[str, Any]) -> Iterator[Scan]:
    if node["Node Type"].endswith("Scan") and {"Relation Name", "Index Name"} & node.keys():
        names = (node.get(key, "") for key in ("Relation Name", "Index Name", "Index Cond"))
        yield Scan(node["Node Type"], *names)
    for child in node.get("Plans", []):
        yield from _scans(child)
