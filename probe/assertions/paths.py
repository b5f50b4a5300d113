"""Regular expressions and JSONPaths that no answer can make slow.

Imported where one is used: the libraries take 5 MB, and most monitors have neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import re2
from iregexp_check import check as is_iregexp
from jsonpath_rfc9535 import JSONPathEnvironment, JSONPathError, JSONPathNode, JSONPathQuery
from jsonpath_rfc9535.filter_expressions import FilterContext, FilterExpression
from jsonpath_rfc9535.function_extensions import ExpressionType, FilterFunction
from jsonpath_rfc9535.parse import Parser
from jsonpath_rfc9535.segments import (
    JSONPathChildSegment,
    JSONPathRecursiveDescentSegment,
    JSONPathSegment,
)
from jsonpath_rfc9535.selectors import FilterSelector
from jsonpath_rfc9535.tokens import TokenStream


def _re2_options() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


_RE2_OPTIONS = _re2_options()


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A search for `pattern` in linear time. Raises ValueError with a sentence for the user."""
    try:
        compiled = re2.compile(pattern, options=_RE2_OPTIONS)
    except re2.error as error:
        detail = error.args[0]
        detail = detail.decode(errors="replace") if isinstance(detail, bytes) else detail
        raise ValueError(f"This is not a valid regular expression (RE2): {detail}") from None
    return lambda text: compiled.search(text) is not None


def _to_re2(pattern: str) -> str:
    """An I-Regexp (RFC 9485) in RE2's syntax: its dot also stops at a carriage return."""
    parts, in_class, is_escaped = [], False, False
    for char in pattern:
        if char == "." and not in_class and not is_escaped:
            parts.append(r"[^\r\n]")
            continue
        if not is_escaped and char in "[]":
            in_class = char == "["
        is_escaped = char == "\\" and not is_escaped
        parts.append(char)
    return "".join(parts)


class _LinearSearch(FilterFunction):
    """JSONPath's `search` and `match` (RFC 9535 section 2.4) without backtracking."""

    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]
    return_type = ExpressionType.LOGICAL

    def __init__(self, form: str) -> None:
        self._form = form

    def __call__(self, text: object, pattern: object) -> bool:
        if not (isinstance(text, str) and isinstance(pattern, str) and is_iregexp(pattern)):
            return False
        try:
            return compile_pattern(self._form.format(_to_re2(pattern)))(text)
        except ValueError:  # larger than RE2 lets a program be
            return False


# A path may ask for more steps than a lifetime has: a filter looks through the whole document for
# each of its values, and `[*,*]` doubles what is found at each level.
_look: ContextVar[Callable[[], None]] = ContextVar("look")


class _Child(JSONPathChildSegment):
    def resolve(self, nodes: Iterable[JSONPathNode]) -> Iterable[JSONPathNode]:
        look = _look.get()
        for node in nodes:
            look()
            for found in super().resolve((node,)):
                look()
                yield found


class _Descent(JSONPathRecursiveDescentSegment):
    def resolve(self, nodes: Iterable[JSONPathNode]) -> Iterable[JSONPathNode]:
        look = _look.get()
        for found in super().resolve(nodes):
            look()
            yield found

    def _visit(self, node: JSONPathNode, depth: int = 1) -> Iterable[JSONPathNode]:
        _look.get()()
        yield from super()._visit(node, depth)


class _Filter(FilterExpression):
    def evaluate(self, context: FilterContext) -> bool:
        _look.get()()
        return super().evaluate(context)


class _LookingParser(Parser):
    def parse_query(
        self, stream: TokenStream, *, in_filter: bool = False
    ) -> Iterable[JSONPathSegment]:
        for segment in super().parse_query(stream, in_filter=in_filter):
            looking = _Descent if isinstance(segment, JSONPathRecursiveDescentSegment) else _Child
            yield looking(env=self.env, token=segment.token, selectors=segment.selectors)

    def parse_filter_selector(self, stream: TokenStream) -> FilterSelector:
        selector = super().parse_filter_selector(stream)
        expression = selector.expression
        selector.expression = _Filter(expression.token, expression.expression)
        return selector


class _LinearEnvironment(JSONPathEnvironment):
    parser_class = _LookingParser

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["search"] = _LinearSearch("{}")
        self.function_extensions["match"] = _LinearSearch(r"\A(?:{})\z")


_PATHS = _LinearEnvironment()
MAX_DESCENTS = 2
"""How often a JSONPath may descend (`..`): each multiplies the work by the size of the answer."""


@lru_cache(maxsize=1024)
def compile_path(path: str) -> JSONPathQuery:
    """A JSONPath ready for use. Raises ValueError with a sentence for the user."""
    if path.count("..") > MAX_DESCENTS:
        raise ValueError(f"A JSONPath may have `..` {MAX_DESCENTS} times at most")
    try:
        return _PATHS.compile(path)
    except (JSONPathError, RecursionError) as error:
        raise ValueError(f"This is not a valid JSONPath (RFC 9535): {error}") from None


def find_in(document: Any, query: JSONPathQuery, look: Callable[[], None]) -> list[Any]:
    """The values that a query finds. `look` is called at each step, and may raise to end it."""
    mark = _look.set(look)
    try:
        return [node.value for node in query.finditer(document)]
    finally:
        _look.reset(mark)
