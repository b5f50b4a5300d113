"""Notices of what a transaction changed."""

from uuid import uuid4

import pytest

from uptime.bell import Bell
from uptime.changes import CHANNEL, Topic, read_notice, tell_changed


@pytest.mark.django_db(transaction=True)
def test_a_notice_names_what_changed_however_much_it_is() -> None:
    ids = [str(uuid4()) for _ in range(1000)]
    bell = Bell(CHANNEL)
    bell.listen()
    tell_changed(Topic.MONITORS, ids)
    heard: list[str] = []
    while len(heard) < len(ids):
        notices = bell.wait(10)
        assert notices
        for notice in notices:
            assert len(notice) < 8000
            topic, named = read_notice(notice)
            assert topic == Topic.MONITORS
            heard += named
    bell.close()
    assert heard == ids
