"""What the engine is told of a monitor, however many it asks for at once."""

import gc

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitors.actions import update_monitor
from monitors.models import Monitor
from monitors.specs import SpecCache, spec_of
from tests.factories import TeamFactory, make_monitor

pytestmark = pytest.mark.django_db


def test_those_that_are_not_known_come_in_one_query_and_in_full() -> None:
    team = TeamFactory()
    monitors = [make_monitor(team) for _ in range(3)]
    monitors.append(make_monitor(team, kind="heartbeat"))
    cache = SpecCache()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = cache.get((one.id, one.revision) for one in monitors)
        again = cache.get((one.id, one.revision) for one in monitors)
    assert len(queries) == 1
    assert found == again == {one.id: spec_of(Monitor.objects.get(pk=one.pk)) for one in monitors}


def test_collections_of_garbage_are_spared_what_many_monitors_are_checked_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("monitors.specs._SPARED_AT_ONCE", 2)
    one, other = make_monitor(), make_monitor()
    cache = SpecCache()
    try:
        (first,) = cache.get([(one.id, one.revision)]).values()
        assert id(first) in _collected()
        (second,) = cache.get([(other.id, other.revision)]).values()
        assert not {id(first), id(second)} & _collected()
    finally:
        gc.unfreeze()


def _collected() -> set[int]:
    return {id(each) for each in gc.get_objects()}


def test_an_edit_is_seen_at_the_next_check() -> None:
    monitor, cache = make_monitor(interval=60), SpecCache()
    cache.get([(monitor.id, monitor.revision)])
    edited = update_monitor(monitor=monitor, values={"interval": 120})
    assert cache.get([(edited.id, edited.revision)])[edited.id].interval == edited.interval


def test_one_that_was_deleted_is_missing() -> None:
    monitor = make_monitor()
    Monitor.objects.all().delete()
    assert SpecCache().get([(monitor.id, monitor.revision)]) == {}


def test_monitors_with_the_same_settings_share_them() -> None:
    one, other = make_monitor(), make_monitor()
    different = make_monitor(settings={"max_redirects": 1})
    found = SpecCache().get((each.id, each.revision) for each in (one, other, different))
    assert found[one.id].settings is found[other.id].settings
    assert found[different.id].settings.max_redirects == 1


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("https://x.example:8443/path", "x.example"),
        ("x.example:25", "x.example"),
        ("x.example", "x.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:25", "[2001:db8::1]"),
    ],
)
def test_the_host_is_what_is_asked(target: str, host: str) -> None:
    assert spec_of(Monitor(kind="tcp", target=target)).host == host
