"""smtp, imap and pop3: greeting, STARTTLS, login, and what goes wrong with each."""

import base64
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import ValidationError

from probe.kinds.mail import MailSettings
from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import http, mail
from tests.servers.authority import Authority
from tests.servers.raw import Conduct, Connection, serve

LOGIN = {"username": "ana", "password": "secret"}
SERVERS: dict[str, Callable[..., Conduct]] = {
    "smtp": mail.smtp,
    "imap": mail.imap,
    "pop3": mail.pop3,
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_that_greets_is_up(kind: str, check: Check) -> None:
    async with serve(SERVERS[kind]()) as server:
        seen = await check(kind, f"127.0.0.1:{server.port}")
    assert (seen.status, seen.message) == (Status.UP, "")
    assert seen.phases.first_byte_ms is not None


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_login_is_made(kind: str, check: Check) -> None:
    heard: list[str] = []
    async with serve(SERVERS[kind](heard=heard)) as server:
        seen = await check(kind, f"127.0.0.1:{server.port}", **LOGIN)
    assert seen.status == Status.UP, seen.message
    told = "\n".join(heard)
    assert "ana" in told or base64.b64encode(b"\0ana\0secret").decode() in told


@pytest.mark.parametrize(
    ("machine", "own_name"),
    [
        ("probe-1.example.org", "probe-1.example.org"),
        ("localhost", "[127.0.0.1]"),
        ("c0ffee", "[127.0.0.1]"),
        ("laptop.local", "[127.0.0.1]"),
        ("10.0.0.1", "[127.0.0.1]"),
    ],
)
async def test_a_strict_mail_server_is_told_a_full_name(
    machine: str, own_name: str, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: machine)
    heard: list[str] = []
    async with serve(mail.smtp(heard=heard)) as server:
        seen = await check("smtp", f"127.0.0.1:{server.port}")
    assert seen.status == Status.UP, seen.message
    assert heard[0] == f"EHLO {own_name}"


@pytest.mark.parametrize("kind", SERVERS)
async def test_starttls_secures_what_follows(kind: str, check: Check, authority: Authority) -> None:
    issued = authority.issue("127.0.0.1", ends=timedelta(days=90))
    heard: list[str] = []
    conduct = SERVERS[kind](tls=issued.server_context(), heard=heard)
    async with serve(conduct) as server:
        target = f"127.0.0.1:{server.port}"
        options = {"security": "starttls", **LOGIN}
        seen = await check(kind, target, ca_certificate=authority.certificate_pem, **options)
        untrusted = await check(kind, target, **options)
    assert seen.status == Status.UP, seen.message
    assert seen.cert_expires_at == issued.certificate.not_valid_after_utc
    assert seen.phases.tls_ms is not None
    assert (untrusted.status, untrusted.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert "is from 'Test Root', which is not trusted" in untrusted.message
    assert untrusted.cert_expires_at == issued.certificate.not_valid_after_utc


@pytest.mark.parametrize("kind", SERVERS)
async def test_tls_from_the_first_byte(kind: str, check: Check, authority: Authority) -> None:
    issued = authority.issue("127.0.0.1", ends=timedelta(days=5, hours=1))
    async with serve(SERVERS[kind](), tls=issued.server_context()) as server:
        seen = await check(
            kind,
            f"127.0.0.1:{server.port}",
            security="tls",
            ca_certificate=authority.certificate_pem,
        )
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.CERT_EXPIRING)
    assert seen.message.endswith("UTC: 5 days left, expected at least 14.")


async def say_bye_to_a_login(connection: Connection) -> None:
    await connection.send(f"{mail.IMAP_GREETING}\r\n".encode())
    await connection.reader.readline()
    await connection.send(b"* BYE going down\r\n")


FAILURES: dict[str, tuple[str, Conduct, dict[str, object], Reason, str]] = {
    "smtp refuses service": (
        "smtp",
        mail.mail("554 no service here"),
        {},
        Reason.BANNER_MISMATCH,
        r'Expected a greeting with code 220 from HOST, got "554 no service here"\.',
    ),
    "smtp is too busy": (
        "smtp",
        mail.mail("421 too many connections"),
        {},
        Reason.BANNER_MISMATCH,
        r'Expected a greeting with code 220 from HOST, got "421 too many connections"\.',
    ),
    "smtp speaks something else": (
        "smtp",
        mail.mail("SSH-2.0-OpenSSH_9.9"),
        {},
        Reason.BANNER_MISMATCH,
        r'Expected a reply with a three-digit code from HOST, got "SSH-2\.0-OpenSSH_9\.9"\.',
    ),
    "smtp refuses EHLO": (
        "smtp",
        mail.smtp(EHLO="550 not you"),
        {},
        Reason.BANNER_MISMATCH,
        r'Expected code 250 to EHLO from HOST, got "550 not you"\.',
    ),
    "smtp offers no STARTTLS": (
        "smtp",
        mail.smtp(EHLO="250 mail.example"),
        {"security": "starttls"},
        Reason.TLS_HANDSHAKE,
        r"HOST offers no STARTTLS\.",
    ),
    "smtp does not grant STARTTLS": (
        "smtp",
        mail.smtp(STARTTLS="454 not now"),
        {"security": "starttls"},
        Reason.TLS_HANDSHAKE,
        r'HOST does not go over to TLS: it said "454 not now"\.',
    ),
    "smtp offers no login": (
        "smtp",
        mail.smtp(EHLO="250 mail.example"),
        LOGIN,
        Reason.AUTH_FAILED,
        r"HOST offers no login with a password \(AUTH PLAIN or LOGIN\)\.",
    ),
    "smtp refuses the login": (
        "smtp",
        mail.smtp(AUTH="535 wrong password"),
        LOGIN,
        Reason.AUTH_FAILED,
        r'HOST refuses the login of ana: it said "535 wrong password"\.',
    ),
    "smtp can't ask its user database": (
        "smtp",
        mail.smtp(AUTH="454 4.7.0 try again later"),
        LOGIN,
        Reason.BANNER_MISMATCH,
        r'HOST can\'t judge the login of ana: it said "454 4\.7\.0 try again later"\.',
    ),
    "smtp closes before EHLO": (
        "smtp",
        mail.mail(mail.SMTP_GREETING),
        {},
        Reason.BANNER_MISMATCH,
        r'HOST closed the connection after "220 mail\.example ESMTP ready"\.',
    ),
    "imap says bye to a login": (
        "imap",
        say_bye_to_a_login,
        LOGIN,
        Reason.BANNER_MISMATCH,
        r'HOST closed the connection after "\* BYE going down"\.',
    ),
    "imap says bye": (
        "imap",
        mail.mail("* BYE overloaded"),
        {},
        Reason.BANNER_MISMATCH,
        r'Expected a greeting of IMAP from HOST, got "\* BYE overloaded"\.',
    ),
    "imap refuses STARTTLS": (
        "imap",
        mail.imap(**{"a1 STARTTLS": "a1 BAD unknown"}),
        {"security": "starttls"},
        Reason.TLS_HANDSHAKE,
        r'HOST does not go over to TLS: it said "a1 BAD unknown"\.',
    ),
    "imap refuses the login": (
        "imap",
        mail.imap(secret="b1 NO wrong password"),
        LOGIN,
        Reason.AUTH_FAILED,
        r'HOST refuses the login of ana: it said "b1 NO wrong password"\.',
    ),
    "imap can't ask its user database": (
        "imap",
        mail.imap(secret="b1 NO [UNAVAILABLE] backend is away"),
        LOGIN,
        Reason.BANNER_MISMATCH,
        r'HOST can\'t judge the login of ana: it said "b1 NO \[UNAVAILABLE\] backend is away"\.',
    ),
    "pop3 is locked": (
        "pop3",
        mail.mail("-ERR locked"),
        {},
        Reason.BANNER_MISMATCH,
        r'Expected a greeting of POP3 from HOST, got "-ERR locked"\.',
    ),
    "pop3 refuses STLS": (
        "pop3",
        mail.pop3(STLS="-ERR no"),
        {"security": "starttls"},
        Reason.TLS_HANDSHAKE,
        r'HOST does not go over to TLS: it said "-ERR no"\.',
    ),
    "pop3 refuses the login": (
        "pop3",
        mail.pop3(PASS="-ERR wrong password"),
        LOGIN,
        Reason.AUTH_FAILED,
        r'HOST refuses the login of ana: it said "-ERR wrong password"\.',
    ),
    "pop3 can't ask its user database": (
        "pop3",
        mail.pop3(PASS="-ERR [SYS/TEMP] backend is away"),
        LOGIN,
        Reason.BANNER_MISMATCH,
        r'HOST can\'t judge the login of ana: it said "-ERR \[SYS/TEMP\] backend is away"\.',
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_mail_server_is_down_when(name: str, check: Check) -> None:
    kind, conduct, settings, reason, message = FAILURES[name]
    async with serve(conduct) as server:
        seen = await check(kind, f"127.0.0.1:{server.port}", timeout=1, **settings)
    assert (seen.status, seen.reason) == (Status.DOWN, reason), seen
    assert re.fullmatch(message.replace("HOST", f"127.0.0.1 port {server.port}"), seen.message)


@pytest.mark.parametrize("kind", SERVERS)
async def test_silence_is_a_timeout_with_its_phase(kind: str, check: Check) -> None:
    async with serve(http.stay_silent) as server:
        target = f"127.0.0.1:{server.port}"
        plain = await check(kind, target, timeout=0.2)
        secured = await check(kind, target, timeout=0.2, security="tls")
        asked = await check(kind, target, timeout=0.2, security="starttls")
    assert plain.reason == secured.reason == asked.reason == Reason.TIMEOUT
    assert plain.message.endswith("longer than 0.2 s, while waiting for the greeting.")
    assert secured.message.endswith("longer than 0.2 s, while in the TLS handshake.")
    assert asked.message.endswith("longer than 0.2 s, while asking for TLS.")


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_line_without_end_is_cut_off(kind: str, check: Check) -> None:
    async def babble(connection: Connection) -> None:
        while True:
            await connection.send(b"x" * 65536)

    async with serve(babble) as server:
        seen = await check(kind, f"127.0.0.1:{server.port}", timeout=1)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BANNER_MISMATCH)
    assert "said more than 65536 bytes" in seen.message


async def test_the_greeting_can_be_asserted(check: Check) -> None:
    wanted = {"source": "banner", "comparison": "contains", "value": "other.example"}
    async with serve(mail.smtp()) as server:
        seen = await check("smtp", f"127.0.0.1:{server.port}", assertions=[wanted])
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert seen.message == (
        'Banner should contain "other.example", got "220 mail.example ESMTP ready".'
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"username": "ana"},
        {"password": "x"},
        {"username": "a\nb", "password": "x"},
        {"username": "ana", "password": "x\r\nQUIT"},
        {"security": "ssl"},
        {"assertions": [{"source": "status", "comparison": "equals", "value": 1}]},
    ],
)
def test_settings_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MailSettings(**bad)
