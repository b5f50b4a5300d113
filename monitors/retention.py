"""How long what single checks saw is kept: as the installation says, or the team.

A team keeps its results for longer or shorter than the others once they are packed, which they are
after two or three days: plain ones lie in the partitions of all.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max

from accounts.models import Team
from monitors.chores import day_of
from monitors.models import Assignment


def longest_retention() -> timedelta:
    """No result that anybody keeps is older."""
    longest = Team.objects.aggregate(days=Max("retention_days"))["days"] or 0
    return timedelta(days=max(longest, settings.RETENTION_DAYS))


def oldest_kept(assignment_ids: Sequence[int], now: datetime) -> dict[int, datetime]:
    """The beginning of the oldest day whose results are kept, for each of these assignments."""
    days = Assignment.objects.filter(id__in=assignment_ids).values_list(
        "id", "monitor__team__retention_days"
    )
    today = day_of(now)
    return {id_: today - timedelta(days=own or settings.RETENTION_DAYS) for id_, own in days}


def by_oldest_kept(assignment_ids: Sequence[int], now: datetime) -> dict[datetime, list[int]]:
    """These assignments, by the beginning of the oldest day that they keep."""
    found: defaultdict[datetime, list[int]] = defaultdict(list)
    for id_, limit in oldest_kept(assignment_ids, now).items():
        found[limit].append(id_)
    return found
