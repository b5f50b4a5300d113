"""What each assertion saw, for somebody who is trying them out.

A check stops at the first assertion that doesn't hold and says nothing of the others. Within
`watching()` the judges of the checks that are made also write down what all of them saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from probe.assertions.compiling import (
    compile_assertion,
    compile_node,
    expectation_of,
    find_values,
    shown_all,
    watched,
)
from probe.assertions.evidence import Evidence, UnreadableError
from probe.assertions.schema import (
    Assertion,
    AssertionTree,
    Condition,
    ConditionGroup,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One assertion's line: what it expects, what was there, and whether it holds.

    `severity` is what the check is where it doesn't hold; empty for what stands inside a tree,
    `depth` groups deep.
    """

    expectation: str
    seen: str
    holds: bool
    severity: str = ""
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer as the assertions saw it: from `address`, where the kind knows that."""

    address: str
    findings: list[Finding]


@contextmanager
def watching() -> Iterator[list[Judged]]:
    """The list fills with one entry for each answer that is judged within."""
    seen: list[Judged] = []

    def watch(
        assertions: Sequence[Assertion], tree: AssertionTree | None, evidence: Evidence
    ) -> None:
        own = replace(evidence)  # so that it takes nothing of the time that the check itself has
        seen.append(Judged(evidence.address, list(_findings(assertions, tree, own))))

    mark = watched.set(watch)
    try:
        yield seen
    finally:
        watched.reset(mark)


def _findings(
    assertions: Sequence[Assertion], tree: AssertionTree | None, evidence: Evidence
) -> Iterator[Finding]:
    for one in assertions:
        yield _of_condition(one, evidence, severity=one.severity.value)
    if tree is not None:
        yield from _of_group(tree, evidence, severity=tree.severity.value)


def _of_condition(
    condition: Condition, evidence: Evidence, *, severity: str = "", depth: int = 0
) -> Finding:
    try:
        seen = shown_all(find_values(condition, evidence))
    except UnreadableError as error:
        seen = str(error)
    except RecursionError:
        seen = "JSON that is nested too deeply"
    holds = compile_assertion(condition)(evidence) is None
    return Finding(expectation_of(condition), seen, holds, severity, depth)


def _of_group(
    group: ConditionGroup, evidence: Evidence, *, severity: str = "", depth: int = 0
) -> Iterator[Finding]:
    word = "All of" if group.all else "Any of" if group.any else "None of"
    holds = compile_node(group)(evidence) is None
    yield Finding(word, "", holds, severity, depth)
    for node in group.nodes:
        if isinstance(node, ConditionGroup):
            yield from _of_group(node, evidence, depth=depth + 1)
        else:
            yield _of_condition(node, evidence, depth=depth + 1)
