"""What every test may count on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from django.test import override_settings

TESTS = Path(__file__).parent
# Where the product's processes, its engine or real servers work in real time: a machine that stands
# still in between fails them, too. They get a second try, and the summary names who needed it.
IN_REAL_TIME = (
    "browser",
    "operations",
    "probe",
    "test_database_trouble.py",
    "test_end_to_end.py",
    "test_engine_on_database.py",
    "test_live.py",
    "test_shifts.py",
    "test_sight.py",
)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in IN_REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    """A real hash takes a third of a second, and nearly every test makes a user."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(autouse=True)
def _local_location(request: pytest.FixtureRequest) -> None:
    """The built-in location is there, also after a test that emptied the tables to its end."""
    if "_django_db_helper" not in request.fixturenames:
        return
    is_wanted = request.node.get_closest_marker("django_db") is not None
    if not is_wanted and not {"db", "transactional_db"} & set(request.fixturenames):
        return
    request.getfixturevalue("_django_db_helper")
    from monitors.models import Location

    Location.objects.get_or_create(slug="local", defaults={"name": "This installation"})
