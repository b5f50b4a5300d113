"""What every test may count on."""

import pytest


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
