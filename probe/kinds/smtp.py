"""smtp: the greeting, EHLO, optionally STARTTLS and a login (RFC 5321, 3207, 4954)."""

from __future__ import annotations

import base64
import time

from probe.kinds.base import Kind
from probe.kinds.mail import SECTIONS, MailSettings, cleaner, keep_greeting, login_refused, planner
from probe.kinds.session import Session, observe_session
from probe.net import Net, Trouble
from probe.values import Job, Observation, Reason

PORT = 25
_make_plan = planner("smtp", PORT)


async def _talk(session: Session) -> None:
    lines, settings = session.lines, session.plan.settings
    assert isinstance(settings, MailSettings)
    if session.plan.way != "smtp":  # else it has greeted before TLS
        session.doing = "waiting for the greeting"
        started_at = time.monotonic()
        code, said = await lines.reply()
        session.note("first_byte_ms", started_at)
        if code != 220:
            raise lines.mismatch("a greeting with code 220", f"{code} {said[0]}")
    keep_greeting(session)
    session.doing = "waiting for the answer to EHLO"
    offers = await lines.ehlo()
    if settings.login is not None:
        await _log_in(session, offers, *settings.login)
    await session.part(b"QUIT\r\n")


async def _log_in(session: Session, offers: list[str], username: str, password: str) -> None:
    session.doing = "logging in"
    mechanisms = [
        word for offer in offers if offer.upper().startswith("AUTH") for word in offer.split()
    ]
    known = {word.upper() for word in mechanisms}
    if "PLAIN" in known:
        secret = f"\0{username}\0{password}"
        code, said = await _ask(session, f"AUTH PLAIN {_base64(secret)}")
    elif "LOGIN" in known:
        code, said = await _ask(session, "AUTH LOGIN")
        for answer in (username, password):
            if code == 334:
                code, said = await _ask(session, _base64(answer))
    else:
        raise Trouble(
            Reason.AUTH_FAILED,
            f"{session.place} offers no login with a password (AUTH PLAIN or LOGIN).",
        )
    if code != 235:
        # a code from 400 to 499 is a failure of the moment, RFC 5321 section 4.2.1
        raise login_refused(session, username, f"{code} {said[0]}", is_for_good=code >= 500)


async def _ask(session: Session, line: str) -> tuple[int, list[str]]:
    await session.lines.send(line)
    return await session.lines.reply()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def observe(job: Job, net: Net) -> Observation:
    return await observe_session(job, net, net.plans.get(job.spec, _make_plan), _talk)


KIND = Kind(
    "smtp",
    "SMTP",
    MailSettings,
    observe,
    cleaner(PORT),
    summary="Ask a mail server for its greeting, optionally under TLS and with a login.",
    target_label="Host and port",
    target_example="mail.example.org:25",
    sections=SECTIONS,
)
