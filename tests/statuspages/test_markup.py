"""Markdown of people, as HTML that can do no harm."""

import pytest
from lxml.html import fromstring

from statuspages.markup import render_markdown


def test_it_is_markdown() -> None:
    html = render_markdown("We *see* it.\nSoon:\n\n- [docs](https://example.org/a?b=1)\n- `x < y`")
    assert "<em>see</em> it.<br>" in html
    assert '<a href="https://example.org/a?b=1" rel="noopener noreferrer nofollow">docs</a>' in html
    assert "<code>x &lt; y</code>" in html


def test_headings_fit_below_the_posts_own() -> None:
    assert render_markdown("# Big").strip() == "<h3>Big</h3>"


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "![x](https://tracker.example/pixel.png)",
        "<style>body{display:none}</style>",
        '<a href="//evil" onclick="x()">y</a>',
        "<iframe src=https://example.org></iframe>",
        '[a](https://e.org" onmouseover="alert(1))',
    ],
)
def test_nothing_in_it_runs_or_is_loaded(evil: str) -> None:
    for element in fromstring(f"<div>{render_markdown(evil)}</div>").iter():
        assert element.tag in ("div", "p", "a")
        assert element.get("href", "https:").startswith("https:")
        assert set(element.attrib) <= {"href", "rel"}
