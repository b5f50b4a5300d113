"""A month of maintenance, day by day."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from incidents.maintenance.calendar import LISTED_A_DAY, Month, month_of, read_month
from incidents.models import MaintenanceWindow

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
NOW = datetime(2026, 10, 14, 12, tzinfo=UTC)


def window(
    starts: str, ends: str, *, rrule: str = "", zone: ZoneInfo = UTC_ZONE
) -> MaintenanceWindow:
    at, until = (datetime.fromisoformat(one).replace(tzinfo=UTC) for one in (starts, ends))
    return MaintenanceWindow(
        name="Work", starts_at=at, ends_at=until, rrule=rrule, time_zone=zone.key
    )


def shown(month: Month) -> dict[str, list[tuple[str, str]]]:
    return {
        f"{day.date:%m-%d}": [(one.starts, one.ends) for one in day.entries]
        for week in month.weeks
        for day in week
        if day.entries
    }


@pytest.mark.parametrize(
    ("starts", "ends", "days"),
    [
        ("2026-10-05 02:00", "2026-10-05 04:00", {"10-05": [("02:00", "04:00")]}),
        ("2026-10-05 22:00", "2026-10-06 00:00", {"10-05": [("22:00", "24:00")]}),
        (
            "2026-10-05 22:00",
            "2026-10-07 01:00",
            {"10-05": [("22:00", "")], "10-06": [("", "")], "10-07": [("", "01:00")]},
        ),
        # whole weeks are shown: the month's last is Saturday, 31 October
        ("2026-11-01 02:00", "2026-11-02 04:00", {"11-01": [("02:00", "")]}),
        ("2026-09-20 02:00", "2026-09-28 04:00", {"09-28": [("", "04:00")]}),
        ("2026-11-02 00:00", "2026-11-02 04:00", {}),
    ],
)
def test_a_window_is_on_each_day_that_it_reaches_into(
    starts: str, ends: str, days: dict[str, list[tuple[str, str]]]
) -> None:
    assert shown(month_of([window(starts, ends)], date(2026, 10, 1), NOW, UTC_ZONE)) == days


def test_days_are_those_of_the_readers_clocks() -> None:
    """On 25 October they are set back in Berlin; what goes by them keeps to them."""
    weekly = window("2026-10-04 23:30", "2026-10-05 00:30", rrule="FREQ=WEEKLY", zone=BERLIN)
    seen = shown(month_of([weekly], date(2026, 10, 1), NOW, BERLIN))
    assert seen == {day: [("01:30", "02:30")] for day in ("10-05", "10-12", "10-19", "10-26")}


def test_of_a_crowded_day_the_first_are_listed_and_the_others_counted() -> None:
    hourly = window("2026-10-05 00:00", "2026-10-05 00:10", rrule="FREQ=HOURLY")
    [week, *_] = month_of([hourly], date(2026, 10, 1), NOW, UTC_ZONE).weeks[1:]
    assert [one.starts for one in week[0].entries] == [f"0{n}:00" for n in range(LISTED_A_DAY)]
    assert week[0].more == 24 - LISTED_A_DAY


def test_today_is_marked_and_what_is_past() -> None:
    days = [day for week in month_of([], date(2026, 10, 1), NOW, UTC_ZONE).weeks for day in week]
    assert [day.date for day in days if day.is_today] == [date(2026, 10, 14)]
    assert max(day.date for day in days if day.is_past) == date(2026, 10, 13)
    assert {day.date.month for day in days if not day.is_of_month} == {9, 11}


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2026-12", date(2026, 12, 1)),
        ("", date(2026, 10, 1)),
        ("2026-13", date(2026, 10, 1)),
        ("0000-01", date(2026, 10, 1)),
        ("9999-12", date(2026, 10, 1)),
        ("２０２６-12", date(2026, 10, 1)),
    ],
)
def test_the_month_is_the_one_asked_for_or_the_present_one(text: str, first: date) -> None:
    assert read_month(text, NOW, UTC_ZONE) == first


def test_the_first_and_the_last_month_lead_nowhere_beyond() -> None:
    first, last = (
        month_of([], day, NOW, UTC_ZONE) for day in (date(2000, 1, 1), date(2199, 12, 1))
    )
    assert (first.before, first.after) == (None, date(2000, 2, 1))
    assert (last.before, last.after) == (date(2199, 11, 1), None)
