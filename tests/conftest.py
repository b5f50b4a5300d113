"""What every test may count on."""

from collections.abc import Iterator

import pytest
from django.test import override_settings


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
