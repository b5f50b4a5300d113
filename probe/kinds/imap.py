"""imap: the greeting, optionally STARTTLS and a login (RFC 9051)."""

from __future__ import annotations

import time

from probe.kinds.base import Kind
from probe.kinds.mail import SECTIONS, MailSettings, cleaner, keep_greeting, login_refused, planner
from probe.kinds.session import Session, observe_session
from probe.net import Net
from probe.values import Job, Observation

PORT = 143
_make_plan = planner("imap", PORT)


async def _talk(session: Session) -> None:
    settings = session.plan.settings
    assert isinstance(settings, MailSettings)
    if session.plan.way != "imap":  # else it has greeted before TLS
        session.doing = "waiting for the greeting"
        started_at = time.monotonic()
        greeting = await session.lines.line()
        session.note("first_byte_ms", started_at)
        if not greeting.upper().startswith(("* OK", "* PREAUTH")):
            raise session.lines.mismatch("a greeting of IMAP", greeting)
    keep_greeting(session)
    if settings.login is not None:
        await _log_in(session, *settings.login)
    await session.part(b"b9 LOGOUT\r\n")


async def _log_in(session: Session, username: str, password: str) -> None:
    """User name and password as literals (section 4.3), which need no quoting."""
    session.doing = "logging in"
    parts = [username.encode(), password.encode()]
    line = f"b1 LOGIN {{{len(parts[0])}}}"
    await session.lines.send(line)
    answer = await _answer(session)
    if answer.startswith("+"):
        await session.stream.send(parts[0] + f" {{{len(parts[1])}}}\r\n".encode())
        answer = await _answer(session)
    if answer.startswith("+"):
        await session.stream.send(parts[1] + b"\r\n")
        answer = await _answer(session)
    if not answer.upper().startswith("B1 OK"):
        is_for_good = answer.upper().startswith("B1 NO") and "[UNAVAILABLE]" not in answer.upper()
        raise login_refused(session, username, answer, is_for_good=is_for_good)


async def _answer(session: Session) -> str:
    """The next line that is no news of something else."""
    line = await session.lines.line()
    while line.startswith("* "):
        line = await session.lines.line()
    return line


async def observe(job: Job, net: Net) -> Observation:
    return await observe_session(job, net, net.plans.get(job.spec, _make_plan), _talk)


KIND = Kind(
    "imap",
    "IMAP",
    MailSettings,
    observe,
    cleaner(PORT),
    summary="Ask a mailbox server for its greeting, optionally under TLS and with a login.",
    target_label="Host and port",
    target_example="mail.example.org:143",
    sections=SECTIONS,
)
