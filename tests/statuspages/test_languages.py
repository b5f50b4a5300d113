"""The public pages speak five languages, completely."""

import gettext
import re
import struct

import pytest
from django.test import Client

from statuspages.actions import publish_post, update_page
from statuspages.models import Language, StatusPage
from uptime.environment import BASE_DIR

LOCALE = BASE_DIR / "statuspages" / "locale"
OTHERS = [one.value for one in Language if one != Language.EN]
_SOURCES = [
    *(BASE_DIR / "templates" / "statuspages").glob("*.html"),
    *(BASE_DIR / "templates" / "statuspages" / "mail").glob("*"),
    *(BASE_DIR / "statuspages").glob("*.py"),
]


def used() -> set[str]:
    """The words that templates and code ask to be translated."""
    found: set[str] = set()
    for path in _SOURCES:
        text = path.read_text()
        found |= set(re.findall(r"""{% translate ["']([^"']+)["']""", text))
        if path.suffix == ".py":
            found |= set(re.findall(r"""(?<![a-z])_\(\s*"([^"]+)"\s*\)""", text))
            found |= set(re.findall(r"""gettext\(\s*"[^"]+",\s*"([^"]+)"\s*\)""", text))
        for block in re.findall(r"{% blocktranslate[^%]*%}(.*?){% endblocktranslate %}", text):
            for part in re.split(r"{% plural %}", block):
                found.add(re.sub(r"{{ (\w+) }}", r"%(\1)s", part))
    return found


def catalog(language: str) -> dict[str, str]:
    """What the compiled file holds, by the English words, without contexts."""
    content = (LOCALE / language / "LC_MESSAGES" / "django.mo").read_bytes()
    _, _, count, ids, words = struct.unpack("<5I", content[:20])
    found = {}
    for place in range(count):
        pair = []
        for table in (ids, words):
            size, start = struct.unpack_from("<2I", content, table + 8 * place)
            pair.append(content[start : start + size].decode())
        for one in pair[0].rpartition("\x04")[2].split("\0"):
            found[one] = pair[1]
    return found


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_is_left_in_english(language: str) -> None:
    words = used()
    assert len(words) > 60
    assert words - catalog(language).keys() == set()
    assert all(catalog(language).values())


@pytest.mark.parametrize("language", OTHERS)
def test_the_compiled_file_says_what_its_source_says(language: str) -> None:
    source = (LOCALE / language / "LC_MESSAGES" / "django.po").read_text()
    told = {
        text.replace('\\"', '"') for text in re.findall(r'^msgstr(?:\[\d\])? "(.+)"$', source, re.M)
    }
    compiled = {part for words in catalog(language).values() for part in words.split("\0")}
    compiled -= {catalog(language)[""]}
    assert told == compiled


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_filled_in_stays_what_it_is(language: str) -> None:
    for english, words in catalog(language).items():
        for part in words.split("\0") if english else []:
            names = re.findall(r"%\(\w+\)[sd]", part)
            assert sorted(names) == sorted(re.findall(r"%\(\w+\)[sd]", english)), part


def test_plurals_are_the_languages_own() -> None:
    russian = gettext.translation("django", LOCALE, ["ru"])
    words = ("%(days)s day ago", "%(days)s days ago")
    told = [russian.ngettext(*words, count) % {"days": count} for count in (1, 3, 5, 21)]
    assert told == ["1 день назад", "3 дня назад", "5 дней назад", "21 день назад"]


@pytest.mark.parametrize(
    ("language", "headline", "phase"),
    [
        ("de", "Noch keine Daten", "Wird untersucht"),
        ("fr", "Pas encore de données", "Analyse en cours"),
        ("es", "Todavía sin datos", "Investigando"),
        ("ru", "Данных пока нет", "Выясняем причину"),
    ],
)
def test_a_page_is_in_its_language_whatever_the_reader_asks_for(
    page: StatusPage, language: str, headline: str, phase: str
) -> None:
    update_page(page=page, values={"language": language})
    publish_post(page=page, values={"title": "T", "phase": "investigating"})
    answer = Client().get("/status/acme/", headers={"Accept-Language": "en"})
    text = answer.content.decode()
    assert f'<html lang="{language}"' in text
    assert headline in text
    assert phase in text


def test_the_teams_own_pages_stay_english(db: None) -> None:
    answer = Client().get("/login/", headers={"Accept-Language": "de"})
    assert '<html lang="en"' in answer.content.decode()
