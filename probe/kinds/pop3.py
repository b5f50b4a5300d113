"""pop3: the greeting, optionally STLS and a login (RFC 1939, 2595)."""

from __future__ import annotations

import re
import time

from probe.kinds.base import Kind
from probe.kinds.mail import SECTIONS, MailSettings, cleaner, keep_greeting, login_refused, planner
from probe.kinds.session import Session, observe_session
from probe.net import Net
from probe.values import Job, Observation

PORT = 110
_make_plan = planner("pop3", PORT)
_OF_THE_MOMENT = re.compile(r"\[(?:SYS/|IN-USE|LOGIN-DELAY)", re.IGNORECASE)  # RFC 2449, RFC 3206


async def _talk(session: Session) -> None:
    lines, settings = session.lines, session.plan.settings
    assert isinstance(settings, MailSettings)
    if session.plan.way != "pop3":  # else it has greeted before TLS
        session.doing = "waiting for the greeting"
        started_at = time.monotonic()
        greeting = await lines.line()
        session.note("first_byte_ms", started_at)
        if not greeting.startswith("+OK"):
            raise lines.mismatch("a greeting of POP3", greeting)
    keep_greeting(session)
    if settings.login is not None:
        session.doing = "logging in"
        username, password = settings.login
        for line in (f"USER {username}", f"PASS {password}"):
            await lines.send(line)
            answer = await lines.line()
            if not answer.startswith("+OK"):
                is_for_good = answer.startswith("-ERR") and not _OF_THE_MOMENT.search(answer)
                raise login_refused(session, username, answer, is_for_good=is_for_good)
    await session.part(b"QUIT\r\n")


async def observe(job: Job, net: Net) -> Observation:
    return await observe_session(job, net, net.plans.get(job.spec, _make_plan), _talk)


KIND = Kind(
    "pop3",
    "POP3",
    MailSettings,
    observe,
    cleaner(PORT),
    summary="Ask a mailbox server for its greeting, optionally under TLS and with a login.",
    target_label="Host and port",
    target_example="mail.example.org:110",
    sections=SECTIONS,
)
