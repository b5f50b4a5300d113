"""Write a picture of every page: light and dark, on a desktop and on a phone.

    python -m tests.browser.screenshots DIRECTORY [PAGE ...]

starts a product with the team of `scene.py`, as the browser tests do, and takes the pages of these
names, or all of them. `index.html` in the directory shows them side by side.
"""

import argparse
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import django
from playwright.sync_api import Page

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "uptime.settings")
os.environ.setdefault("UPTIME_LOG_LEVEL", "WARNING")
django.setup()  # before the table of addresses is read

from tests.browser.chromium import DESKTOP, PHONE, chromium  # noqa: E402
from tests.browser.installation import installation  # noqa: E402
from tests.browser.pages import Readers, names, spot  # noqa: E402

WINDOWS = {"desktop": DESKTOP, "phone": PHONE}
THEMES = ("light", "dark")
# What the browser itself builds is there when this is.
DRAWN_LATE = {"api-docs": ".opblock-tag"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots")
    parser.add_argument("directory", type=Path)
    parser.add_argument("pages", nargs="*", metavar="PAGE")
    given = parser.parse_args()
    wanted = given.pages or names()
    if unknown := set(wanted) - set(names()):
        parser.error(f"there is no page called {', '.join(sorted(unknown))}")
    given.directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="screenshots-") as home, chromium() as browser:
        Path(home).chmod(0o755)  # PostgreSQL runs as a user of its own
        with installation(Path(home)) as installed, Readers(browser, installed) as readers:
            for name in wanted:
                where = spot(name, installed.things)
                page = readers.of(where.who).page
                page.goto(where.path)
                if name in DRAWN_LATE:
                    page.locator(DRAWN_LATE[name]).first.wait_for()
                _take(page, given.directory / name)
    index = given.directory / "index.html"
    index.write_text(_index(wanted))
    print(f"{len(wanted)} pages, side by side: {index}")


def _take(page: Page, path: Path) -> None:
    """Four pictures, each of the whole page."""
    for window, size in WINDOWS.items():
        page.set_viewport_size(size)
        # As high as the page, so that what sticks to the lower edge is there and not in between.
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({**size, "height": max(height, size["height"])})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            page.screenshot(path=f"{path}-{window}-{theme}.png")


def _index(wanted: Sequence[str]) -> str:
    rows = []
    for name in map(escape, wanted):
        files = [f"{name}-{window}-{theme}.png" for window in WINDOWS for theme in THEMES]
        pictures = "".join(f'<a href="{one}"><img src="{one}" alt="{one}"></a>' for one in files)
        rows.append(f"<h2>{name}</h2><div>{pictures}</div>")
    style = "body{font:14px sans-serif;background:#777}div{display:flex;gap:8px}img{height:600px}"
    return f"<!doctype html><title>Pages</title><style>{style}</style>{''.join(rows)}"


if __name__ == "__main__":
    main()
