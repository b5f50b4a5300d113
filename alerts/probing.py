"""Whether channels live, asked without a message, so that a dead one is known before the night.

Each enabled channel whose type knows such a call is asked about once a day, and soon after it was
made or changed. What comes of it is shown with the channel. An answer that its vendor calls final
is told to the team's owners by e-mail, once until the channel proves to live again; what may pass
is asked again within the hour and told nobody. No answer disables a channel: a message is tried
whatever the last answer was.

A row is leased, the question put outside of any transaction, and the answer written down only if
the lease is still its own. Who dies in between leaves a lease that lapses.
"""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.db import transaction

from alerts.channels import CHANNELS
from alerts.door import Door
from alerts.errors import DeadChannelError, DeliveryError
from alerts.messages import PROBE_FAILED, facts_of_failed_probe
from alerts.models import Channel, ChannelProbe, Delivery
from alerts.outbox import NOTICE_STEP, announce, live_config, teams_of_staff
from alerts.sending import open_channel, storable, without_secrets
from uptime.clock import database_now
from uptime.secrets import SecretsUnreadable

log = structlog.get_logger(__name__)

EVERY = timedelta(days=1)
AGAIN_AFTER = timedelta(hours=1)
SPREAD = 0.1
AT_ONCE = 16  # each minute: some 23,000 a day
DEADLINE = timedelta(seconds=10)
LEASE = timedelta(minutes=5)  # mail takes several exchanges, each with that deadline
PLANNED_AT_ONCE = 1000


def probe_channels() -> int:
    """Ask up to `AT_ONCE` channels that are due, side by side; returns how many."""
    now = database_now()
    _plan(now)
    leased = lease_probes(owner=uuid4(), now=now)
    if leased:
        with ThreadPoolExecutor(len(leased)) as pool:
            answers = list(pool.map(ask, leased))
        record_answers(list(zip(leased, answers, strict=True)))
    return len(leased)


def ask_soon(channel: Channel, now: datetime) -> None:
    """Forget what was known of the channel, whose settings are new, and ask at the next look."""
    if channel.type not in _asked_types():
        return
    channel.probe, _ = ChannelProbe.objects.update_or_create(
        channel=channel,
        defaults={
            "due_at": now,
            "lease_owner": None,
            "asked_at": None,
            "proven_at": None,
            "alive_since": None,
            "error": "",
            "is_final": False,
            "told_at": None,
        },
    )


def _asked_types() -> list[str]:
    return [name for name, channel in CHANNELS.items() if channel.probe]


def _plan(now: datetime) -> None:
    """Rows for channels that have none, spread over the time from one question to the next."""
    missing = Channel.objects.filter(enabled=True, type__in=_asked_types(), probe=None)
    ChannelProbe.objects.bulk_create(
        [
            ChannelProbe(channel_id=pk, due_at=now + EVERY * random.random())  # noqa: S311 - spreads load, guards nothing
            for pk in missing.values_list("pk", flat=True)[:PLANNED_AT_ONCE]
        ],
        ignore_conflicts=True,
    )


@dataclass(frozen=True, slots=True)
class Leased:
    """A channel to ask, in this asker's hands: no row behind it."""

    channel_id: UUID
    owner: UUID
    type: str
    config: dict[str, Any]
    secrets: str
    reaches_private: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question. `is_proof` is false where there was nothing to ask."""

    error: str = ""
    is_final: bool = False
    is_proof: bool = False


@transaction.atomic
def lease_probes(*, owner: UUID, now: datetime) -> list[Leased]:
    rows = list(
        ChannelProbe.objects.filter(
            due_at__lte=now, channel__enabled=True, channel__type__in=_asked_types()
        )
        .order_by("due_at", "pk")
        .select_related("channel__member__user")
        .select_for_update(skip_locked=True, of=("self",))[:AT_ONCE]
    )
    ChannelProbe.objects.filter(pk__in=[row.pk for row in rows]).update(
        lease_owner=owner, due_at=now + LEASE
    )
    trusted = teams_of_staff({row.channel.team_id for row in rows})
    return [
        Leased(
            channel_id=row.channel_id,
            owner=owner,
            type=row.channel.type,
            config=live_config(row.channel),
            secrets=row.channel.secrets,
            reaches_private=row.channel.team_id in trusted,
        )
        for row in rows
    ]


def ask(leased: Leased) -> Answer:
    """Put the question: no database, no exception."""
    door = Door(reaches_private=leased.reaches_private, deadline=DEADLINE)
    try:
        channel, config = open_channel(leased.type, leased.config, leased.secrets)
        return Answer(is_proof=bool(channel.probe and channel.probe(config, door)))
    except DeliveryError as error:
        text = storable(without_secrets(str(error), leased.secrets))
        # What a message is refused for, a question may be as well; only the channel's end is final.
        return Answer(text, is_final=isinstance(error, DeadChannelError))
    except SecretsUnreadable as error:
        return Answer(str(error))
    except Exception as error:  # a thread of a pool ends here; a fault of ours is shown, not hidden
        log.exception("alerts.probe.broke", channel=str(leased.channel_id), type=leased.type)
        return Answer(f"internal error ({type(error).__name__})")


def record_answers(answered: Sequence[tuple[Leased, Answer]]) -> int:
    """Write down the answers to questions whose lease still holds; returns how many."""
    return sum(_record(leased, answer) for leased, answer in answered)


@transaction.atomic
def _record(leased: Leased, answer: Answer) -> bool:
    held = ChannelProbe.objects.filter(pk=leased.channel_id, lease_owner=leased.owner)
    row = held.select_related("channel").select_for_update(of=("self",)).first()
    if row is None:
        return False
    now = database_now()
    row.lease_owner, row.asked_at = None, now
    row.error, row.is_final = answer.error, answer.is_final
    if answer.is_proof:
        row.proven_at, row.alive_since = now, row.alive_since or now
        row.told_at = None
    else:
        row.alive_since = None
    may_pass = bool(answer.error) and not answer.is_final
    spread = 1 + SPREAD * (2 * random.random() - 1)  # noqa: S311 - as above
    row.due_at = now + (AGAIN_AFTER if may_pass else EVERY) * spread
    if answer.is_final and row.told_at is None and row.channel.enabled:
        row.told_at = now
        _tell_owners(row.channel, answer.error, now)
    row.save()
    return True


def _tell_owners(channel: Channel, why: str, now: datetime) -> None:
    log.warning("alerts.channel.out_of_order", channel=str(channel.pk), type=channel.type)
    Delivery.objects.create(
        team_id=channel.team_id,
        channel=channel,
        event=PROBE_FAILED,
        step=NOTICE_STEP,
        facts=facts_of_failed_probe(channel, why, now).as_json(),
        next_attempt_at=now,
        created_at=now,
    )
    announce()
