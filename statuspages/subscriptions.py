"""Who wants to be told of a page's posts, and their outbox.

Nobody is told anything before they opened the link that was sent to their address. Each message is
a row that commits with what it tells of; it is leased, sent outside of any transaction and settled
only if the lease is still the sender's, so that it leaves at least once, under the same id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F, Q

from alerts.addresses import clean_address
from statuspages.models import (
    Component,
    Mailing,
    PostUpdate,
    StatusPage,
    Subscriber,
    SubscriberKind,
)
from uptime.clock import database_now
from uptime.errors import Invalid

LEASE = timedelta(seconds=60)
# So long a link to confirm is valid, and so rarely it is sent again.
UNCONFIRMED_KEPT = timedelta(days=7)
ASK_AGAIN_AFTER = timedelta(minutes=10)
MAILINGS_KEPT = timedelta(days=30)


def clean_subscriber(kind: SubscriberKind, address: str) -> str:
    """The address as it is stored. Raises Invalid."""
    address = address.strip()
    try:
        if kind == SubscriberKind.WEBHOOK:
            return clean_address(address)
        validate_email(address)
    except (ValidationError, ValueError) as error:
        raise Invalid({"address": ["This is not an address."]}) from error
    return address.lower()


@transaction.atomic
def ask_to_confirm(
    *, page: StatusPage, kind: SubscriberKind, address: str, components: Iterable[UUID] = ()
) -> Subscriber:
    """Note who wants to be told, and send them the link that confirms it.

    Who is told already, or was asked just now, is not sent another; one answer for all, so that
    nobody learns who has subscribed.
    """
    now = database_now()
    subscriber, is_new = Subscriber.objects.select_for_update().get_or_create(
        page=page,
        kind=kind,
        address=clean_subscriber(kind, address),
        defaults={"asked_at": now, "created_at": now},
    )
    if subscriber.confirmed_at is not None:
        return subscriber
    _choose(subscriber, components)
    if is_new or subscriber.asked_at <= now - ASK_AGAIN_AFTER:
        subscriber.asked_at = now
        subscriber.save(update_fields=["asked_at"])
        Mailing.objects.create(subscriber=subscriber, next_attempt_at=now, created_at=now)
    return subscriber


def confirm(*, subscriber: Subscriber) -> None:
    """They opened the link; doing so twice changes nothing."""
    Subscriber.objects.filter(pk=subscriber.pk, confirmed_at=None).update(
        confirmed_at=database_now()
    )


@transaction.atomic
def choose_components(*, subscriber: Subscriber, components: Iterable[UUID]) -> None:
    """Be told of these alone; of none chosen: of all."""
    _choose(subscriber, components)


def _choose(subscriber: Subscriber, components: Iterable[UUID]) -> None:
    chosen = Component.objects.filter(page=subscriber.page_id, pk__in=list(components))
    subscriber.components.set(chosen)
    subscriber.is_choosy = subscriber.components.exists()
    subscriber.save(update_fields=["is_choosy"])


def unsubscribe(*, subscriber: Subscriber) -> None:
    """Forget them, with whatever is still to be sent."""
    subscriber.delete()


def queue_mailings(update: PostUpdate) -> int:
    """Queue a message for each subscriber whom the update concerns; in the caller's transaction."""
    affected = update.post.affected.values("component")
    concerned = (
        Subscriber.objects.filter(page=update.post.page_id, confirmed_at__isnull=False)
        .filter(Q(is_choosy=False) | Q(components__in=affected))
        .distinct()
        .values_list("pk", flat=True)
    )
    now = database_now()
    rows = [
        Mailing(subscriber_id=pk, update=update, next_attempt_at=now, created_at=now)
        for pk in concerned
    ]
    Mailing.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)
    return len(rows)


# -- the outbox ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leased:
    """A message in a sender's hands; `attempt` counts from 1."""

    mailing: Mailing
    owner: UUID
    attempt: int


def lease_mailings(*, owner: UUID, now: datetime, limit: int) -> list[Leased]:
    """Take up to `limit` that are due, or whose sender died."""
    with transaction.atomic():
        rows = list(
            Mailing.objects.filter(next_attempt_at__lte=now)
            .order_by("next_attempt_at", "pk")
            .select_related("subscriber__page", "update__post")
            .select_for_update(skip_locked=True, of=("self",))[:limit]
        )
        Mailing.objects.filter(pk__in=[row.pk for row in rows]).update(
            lease_owner=owner, next_attempt_at=now + LEASE, attempts=F("attempts") + 1
        )
    return [Leased(row, owner, row.attempts + 1) for row in rows]


def settle_mailing(leased: Leased, *, error: str = "", again_at: datetime | None = None) -> bool:
    """Write down how it ended: sent, given up (`error`), or to be tried again; false if the lease
    was no longer this sender's."""
    mine = Mailing.objects.filter(
        pk=leased.mailing.pk, lease_owner=leased.owner, attempts=leased.attempt
    )
    sent_at = None if error else database_now()
    return bool(
        mine.update(lease_owner=None, next_attempt_at=again_at, last_error=error, sent_at=sent_at)
    )


def forget_old(now: datetime) -> None:
    """Forget who never confirmed, and what was sent or given up long ago."""
    Subscriber.objects.filter(confirmed_at=None, asked_at__lt=now - UNCONFIRMED_KEPT).delete()
    done: Sequence[Q] = [Q(next_attempt_at=None), Q(created_at__lt=now - MAILINGS_KEPT)]
    Mailing.objects.filter(*done).delete()
