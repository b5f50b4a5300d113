"""Markdown that people write for readers, as HTML that can do no harm.

HTML in it is shown as text. What comes out is sanitised once more: a list of elements is let
through and nothing else, links lead out without telling from where.
"""

from functools import cache

import nh3
from markdown_it import MarkdownIt

BODY_LIMIT = 20_000

_ELEMENTS = {
    *("p", "br", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "hr", "a"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True})
    # A reader's browser must not ask other servers, and the policy of the pages forbids it.
    return parser.enable(["table", "strikethrough"]).disable(["image"])


def render_markdown(text: str) -> str:
    """Safe HTML. Headings start at the third level: a post has a title of its own."""
    tokens = _parser().parse(text)
    for token in tokens:
        if token.tag in ("h1", "h2"):
            token.tag = "h3"
    html = _parser().renderer.render(tokens, _parser().options, {})
    return nh3.clean(
        html,
        tags=_ELEMENTS,
        attributes={"a": {"href"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
