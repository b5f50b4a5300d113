"""What is looked at once a second."""

from datetime import datetime

import pytest
from django.db import connection

from incidents.transitions import Transition
from uptime import operations
from uptime.operations import review_incidents

pytestmark = pytest.mark.django_db


def test_a_review_that_fails_keeps_no_other_from_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[datetime] = []

    def stumble(now: datetime) -> list[Transition]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        return []

    def look(now: datetime) -> list[Transition]:
        looked.append(now)
        return []

    monkeypatch.setattr(operations, "_REVIEWS", (stumble, look))
    review_incidents()
    assert len(looked) == 1
