"""The list of results on a large table: the planner is asked, not a clock."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Team
from monitors.models import Assignment, Location, Monitor, Result
from monitors.partitions import ensure_partitions
from probe.values import result_id
from tests.admin.pages import address

ASSIGNMENTS = 200
ROWS = 300_000  # over the last 25 hours: each assignment has one each minute


@pytest.fixture
def loaded(db: None) -> datetime:
    """`ROWS` results of the last 25 hours; the moment when they end."""
    now = timezone.now()
    team = Team.objects.create(name="Team")
    Monitor.objects.bulk_create(
        Monitor(team=team, name=f"Monitor {n}", kind="http") for n in range(ASSIGNMENTS)
    )
    local = Location.objects.get(slug="local")
    assignments = Assignment.objects.bulk_create(
        Assignment(monitor=monitor, location=local) for monitor in Monitor.objects.all()
    )
    ensure_partitions({(now - timedelta(hours=hours)).date() for hours in range(26)})
    step = timedelta(hours=25) / ROWS
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO monitors_result
                (id, assignment_id, checked_at, due_at, attempt, status, latency_ms)
            SELECT gen_random_uuid(), %(first)s + n %% %(assignments)s,
                   %(until)s - n * %(step)s, %(until)s - n * %(step)s, 0, 'up', 12.5
            FROM generate_series(%(rows)s, 0, -1) AS n
            """,
            {
                "first": min(assignment.pk for assignment in assignments),
                "assignments": ASSIGNMENTS,
                "until": now,
                "step": step,
                "rows": ROWS,
            },
        )
        cursor.execute(
            "SELECT brin_summarize_new_values(inhrelid) FROM pg_inherits "
            "WHERE inhparent = 'monitors_result_time'::regclass"
        )
        cursor.execute("ANALYZE monitors_result")
    return now


def plans(queries: CaptureQueriesContext) -> list[dict[str, Any]]:
    """How each query of the results was carried out."""
    found = []
    for query in list(queries):
        if '"monitors_result"' in query["sql"]:
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query["sql"].replace("%", "%%"))
                (plan,) = cursor.fetchone()
            found.append((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
    assert found
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def rows_read(plan: dict[str, Any]) -> float:
    """Rows that came from the table, those that a filter threw away included."""
    return sum(
        node["Actual Loops"]
        * (
            node["Actual Rows"]
            + node.get("Rows Removed by Filter", 0)
            + node.get("Rows Removed by Index Recheck", 0)
        )
        for node in nodes(plan)
        if node["Node Type"].endswith("Scan") and node["Node Type"] != "Bitmap Index Scan"
    )


def test_no_page_reads_more_than_its_part_of_the_table(
    admin_client: Client, loaded: datetime
) -> None:
    """One test for all pages: the table is loaded once."""
    some = Result.objects.filter(checked_at__gt=loaded - timedelta(hours=3)).first()
    assert some is not None
    Result.objects.filter(pk=some.pk).update(id=result_id(some.assignment_id, some.due_at, 0))
    some = Result.objects.get(assignment=some.assignment, checked_at=some.checked_at)
    few = ROWS / 10
    listing = address(Result, "changelist")
    # what is opened, whether it shows rows, and how many it may read
    pages = [
        (listing, 100, few),
        (f"{listing}?when=last+hour", 100, few),
        (f"{listing}?when=last+hour&p=5", 100, few),
        (f"{listing}?status=down", 0, few),
        (f"{listing}?q=Monitor+7", 55, few),  # 7 and 70 to 79, each 5 times in 5 minutes
        (f"{listing}?when=all", 100, few),
        (f"{listing}?assignment={some.assignment_id}&when=last+day", 100, 1000),
        (f"{listing}?assignment={some.assignment_id}&when=all", 100, 1000),
        (f"{listing}?assignment={some.assignment_id}&when=all&p=3", 100, 1000),
        (address(Result, "change", some.pk), None, few),
    ]
    for page, shown, most_rows in pages:
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.get(page)
        assert response.status_code == 200
        if shown is not None:
            assert len(response.context["cl"].result_list) == shown, page
        assert not [query for query in queries if "COUNT(" in query["sql"]]
        for plan in plans(queries):
            assert rows_read(plan) <= most_rows, (page, json.dumps(plan, indent=1))
            sorts = [node for node in nodes(plan) if "Sort" in node["Node Type"]]
            assert all(sort["Plans"][0]["Actual Rows"] <= most_rows for sort in sorts), page


def test_a_result_that_started_late_is_found_by_its_id_too(
    admin_client: Client, loaded: datetime
) -> None:
    assignment = Assignment.objects.first()
    assert assignment is not None
    due_at = loaded - timedelta(hours=8)
    late = Result.objects.create(
        id=result_id(assignment.pk, due_at, 0),
        assignment=assignment,
        checked_at=loaded - timedelta(milliseconds=1),
        due_at=due_at,
        attempt=0,
        status="up",
    )
    assert admin_client.get(address(Result, "change", late.pk)).status_code == 200


@pytest.mark.parametrize("wrong", ["nonsense", "ffffffff-ffff-8fff-bfff-ffffffffffff"])
def test_an_id_of_no_result_is_not_found(admin_client: Client, wrong: str) -> None:
    response = admin_client.get(address(Result, "change", wrong))
    assert response.status_code == 302
    assert response["Location"] == "/admin/"
