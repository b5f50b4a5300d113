"""One browser and one running product for all of these tests; a reader for each of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import Reader, chromium
from tests.browser.installation import Installation, installation


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these go to one process, beside which the others run."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


# A package's fixture, not a session's: as long as it lives, its event loop counts as this thread's
# running one, and asynchronous tests could not run.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def installed(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def new_reader(browser: Browser, installed: Installation) -> Iterator[Callable[..., Reader]]:
    """Makes readers, whose browsers must have found no fault when the test ends."""
    readers: list[Reader] = []

    def make(**wanted: Any) -> Reader:
        readers.append(Reader(browser, installed.url, **wanted))
        return readers[-1]

    yield make
    try:
        for reader in readers:
            reader.assert_content()
    finally:
        for reader in readers:
            reader.close()
