"""The courier: takes subscribers' messages to them, a few at a time and not too many a second.

It runs beside the dispatcher of alerts, in a thread of its own: however many subscribers a page
has, no alert waits for them.
"""

import json
import smtplib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import Error as DatabaseError
from django.db import InterfaceError, connections
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from alerts.channels.webhook import signature
from alerts.door import Door
from alerts.errors import DeliveryError
from alerts.recording import back_off
from statuspages.markup import render_markdown
from statuspages.models import (
    Mailing,
    Phase,
    Post,
    PostUpdate,
    StatusPage,
    Subscriber,
    SubscriberKind,
)
from statuspages.subscriptions import Leased, lease_mailings, settle_mailing
from statuspages.wording import phase_label
from uptime.clock import database_now
from uptime.database import Outage

log = structlog.get_logger(__name__)

AT_ONCE = 8
PER_SECOND = 10
LOOK_EVERY_S = 1.0
MAX_ATTEMPTS = 12  # with the back-off of alerts: about five hours
ERROR_LIMIT = 500


class Courier:
    """Sends what is due, in steps; all of its database work is done by the thread that calls it."""

    def __init__(self, owner: UUID, door: Door | None = None) -> None:
        self._owner = owner
        # Whoever subscribes is a stranger: private networks are closed to them.
        self._door = door or Door()

    def run(self, stop: Callable[[], bool]) -> None:
        """Send until `stop()`. Outlives the database's restarts."""
        outage = Outage("courier")
        try:
            while not stop():
                began = time.monotonic()
                try:
                    sent = self.step()
                except (DatabaseError, InterfaceError) as error:
                    outage.begin(error)
                    connections.close_all()
                    sent = 0
                else:
                    outage.end()
                pause = sent / PER_SECOND if sent else LOOK_EVERY_S
                time.sleep(max(0.0, pause - (time.monotonic() - began)))
        finally:
            connections.close_all()

    def step(self) -> int:
        """Send up to `AT_ONCE` that are due, side by side; returns how many were taken up."""
        leased = lease_mailings(owner=self._owner, now=database_now(), limit=AT_ONCE)
        if not leased:
            return 0
        parcels = [Parcel(one.mailing) for one in leased]
        with ThreadPoolExecutor(len(parcels)) as pool:
            outcomes = list(pool.map(lambda parcel: attempt(parcel, self._door), parcels))
        for one, outcome in zip(leased, outcomes, strict=True):
            _record(one, outcome)
        return len(leased)


class Gone(Exception):
    """The receiver wants to hear nothing any more."""


def attempt(parcel: "Parcel", door: Door) -> Exception | None:
    """Send it; what went wrong is returned, so that one failure keeps no other."""
    try:
        if parcel.subscriber.kind == SubscriberKind.EMAIL:
            _mail(parcel)
        else:
            _post(parcel, door)
    except (DeliveryError, Gone) as error:
        return error
    except Exception as error:  # a sender's thread ends here; a fault of ours is retried, visibly
        log.exception("courier.broke", mailing=str(parcel.id))
        return error
    return None


def _record(leased: Leased, outcome: Exception | None) -> None:
    fields = {"mailing": str(leased.mailing.pk), "attempt": leased.attempt}
    if outcome is None:
        settle_mailing(leased)
        log.info("courier.sent", **fields)
        return
    if isinstance(outcome, Gone):
        leased.mailing.subscriber.delete()
        log.info("courier.unsubscribed", **fields)
        return
    error = str(outcome).replace("\0", "")[:ERROR_LIMIT] or type(outcome).__name__
    is_final = getattr(outcome, "is_permanent", False) or leased.attempt >= MAX_ATTEMPTS
    log.warning("courier.failed", **fields, error=error, is_final=is_final)
    if is_final:
        settle_mailing(leased, error=error)
        return
    asked: timedelta | None = getattr(outcome, "retry_after", None)
    pause = back_off(leased.attempt, asked, chance=0.5)
    settle_mailing(leased, error=error, again_at=database_now() + pause)


class Parcel:
    """All that a message says, read beforehand: the threads that send ask no database."""

    def __init__(self, mailing: Mailing) -> None:
        self.id = mailing.pk
        self.subscriber: Subscriber = mailing.subscriber
        self.page: StatusPage = mailing.subscriber.page
        self.update: PostUpdate | None = mailing.update
        self.post: Post | None = mailing.update.post if mailing.update else None
        rows = self.post.affected.select_related("component") if self.post else []
        self.components = [one.component.name for one in rows]

    @property
    def manage_url(self) -> str:
        return f"{self.page.public_origin}/subscriptions/{self.subscriber.token}/"

    @property
    def unsubscribe_url(self) -> str:
        return f"{self.manage_url}unsubscribe/"

    def words(self) -> dict[str, Any]:
        body = self.update.body if self.update else ""
        return {
            "page": self.page,
            "post": self.post,
            "update": self.update,
            "components": self.components,
            "body_html": render_markdown(body),
            "manage_url": self.manage_url,
            "unsubscribe_url": self.unsubscribe_url,
        }

    def subject(self) -> str:
        if self.post is None or self.update is None:
            return _("Confirm your subscription to %(name)s") % {"name": self.page.name}
        phase = phase_label(Phase(self.update.phase))
        return f"[{self.page.name}] {self.post.title}: {phase}"

    def as_json(self) -> dict[str, Any]:
        page = {"name": self.page.name, "url": self.page.public_url}
        if self.post is None or self.update is None:
            return {"event": "subscription.confirm", "page": page, "confirm_url": self.manage_url}
        return {
            "event": "post.update",
            "page": page,
            "post": {
                "id": str(self.post.pk),
                "kind": self.post.kind,
                "title": self.post.title,
                "starts_at": self.post.starts_at.isoformat(),
                "ends_at": self.post.ends_at.isoformat() if self.post.ends_at else None,
                "components": self.components,
            },
            "update": {
                "id": str(self.update.pk),
                "phase": self.update.phase,
                "body": self.update.body,
                "at": self.update.at.isoformat(),
            },
            "unsubscribe_url": self.unsubscribe_url,
        }


def _mail(parcel: Parcel) -> None:
    kind = "update" if parcel.update else "confirm"
    with translation.override(parcel.page.language):
        words = parcel.words()
        mail = EmailMultiAlternatives(
            subject=" ".join(parcel.subject().split())[:200],
            body=render_to_string(f"statuspages/mail/{kind}.txt", words),
            to=[parcel.subscriber.address],
            headers=_headers(parcel),
        )
        if parcel.update:
            html = render_to_string("statuspages/mail/update.html", words)
            mail.attach_alternative(html, "text/html")
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        [(code, text)] = error.recipients.values()
        raise _refused(code, text) from error
    except smtplib.SMTPDataError as error:
        raise _refused(error.smtp_code, error.smtp_error) from error
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryError(f"the mail server failed: {error}") from error


def _refused(code: int, text: bytes | str) -> DeliveryError:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return DeliveryError(f"{code} {words}", is_permanent=code >= 500)


def _headers(parcel: Parcel) -> dict[str, str]:
    host = urlsplit(settings.BASE_URL).hostname
    headers = {
        "Message-ID": f"<{parcel.id}@{host}>",
        "List-Id": f"{parcel.page.slug} <{parcel.page.slug}.status.{host}>",
        "Auto-Submitted": "auto-generated",
        # RFC 8058: mail programs show a button that needs no page
        "List-Unsubscribe": f"<{parcel.unsubscribe_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    if parcel.post:
        # all messages of a post lie in one thread
        headers["References"] = f"<{parcel.post.pk}@{host}>"
    return headers


def _post(parcel: Parcel, door: Door) -> None:
    body = json.dumps(parcel.as_json(), ensure_ascii=False).encode()
    answer = door.request(
        "POST",
        parcel.subscriber.address,
        body=body,
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "X-Uptime-Event-Id": str(parcel.id),
            "X-Uptime-Signature": signature(parcel.subscriber.secret, body, int(time.time())),
        },
    )
    if answer.status == 410:
        raise Gone
    if not answer.is_success:
        raise DeliveryError(f"the receiver answered {answer.status}")
