"""The tls check: chain, names, dates, versions, keys, and what a handshake stumbles over."""

import asyncio
import contextlib
import re
import ssl
import warnings
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from probe.kinds.tls import TlsSettings, is_for
from probe.prober import Prober
from probe.starttls import own_name
from probe.values import Observation, Reason, Status
from tests.probe.conftest import Check, make_job
from tests.servers import dns
from tests.servers.authority import Authority, Digest, Issued, issue
from tests.servers.dns import serve_names
from tests.servers.raw import Conduct, Connection, free_port, serve, unanswered_port
from tests.servers.tls import serve_tls

DAYS_90 = timedelta(days=90)
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def good(authority: Authority) -> Issued:
    return authority.issue(HOST, "localhost", "x.example", "*.wild.example", ends=DAYS_90)


async def observe(
    check: Check,
    served: Issued | ssl.SSLContext,
    authority: Authority | None,
    **settings: Any,
) -> Observation:
    if authority is not None:
        settings["ca_certificate"] = authority.certificate_pem
    context = served.server_context() if isinstance(served, Issued) else served
    with serve_tls(context) as server:
        return await check("tls", f"{HOST}:{server.port}", **settings)


async def test_a_good_handshake_is_up(check: Check, authority: Authority, good: Issued) -> None:
    seen = await observe(check, good, authority)
    assert (seen.status, seen.message) == (Status.UP, "")
    assert seen.cert_expires_at == good.certificate.not_valid_after_utc
    assert seen.phases.connect_ms is not None
    assert seen.phases.tls_ms is not None
    assert seen.details is not None
    assert seen.details["tls_version"] == "1.3"
    assert [one["issuer"] for one in seen.details["chain"]] == ["'Test Root'"]


# The certificate and its chain


async def test_an_expired_certificate(check: Check, authority: Authority) -> None:
    issued = authority.issue(HOST, ends=-timedelta(days=3, hours=1))
    seen = await observe(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_EXPIRED)
    assert re.fullmatch(
        r"The certificate of 127\.0\.0\.1 expired on [\d-]+ [\d:]+ UTC, 3 days ago\.", seen.message
    )
    assert seen.cert_expires_at == issued.certificate.not_valid_after_utc


async def test_a_certificate_from_the_future(check: Check, authority: Authority) -> None:
    issued = authority.issue(HOST, starts=timedelta(days=2), ends=DAYS_90)
    seen = await observe(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_NOT_YET_VALID)
    starts_at = issued.certificate.not_valid_before_utc
    assert seen.message == (
        f"The certificate of 127.0.0.1 is not valid before {starts_at:%Y-%m-%d %H:%M} UTC."
    )


async def test_a_certificate_for_others(check: Check, authority: Authority) -> None:
    issued = authority.issue("other.example", "www.other.example", ends=DAYS_90)
    seen = await observe(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HOSTNAME)
    assert seen.message == (
        "The certificate is for other.example, www.other.example, not for 127.0.0.1."
    )


async def test_a_certificate_without_alternative_names(check: Check, authority: Authority) -> None:
    """The common name does not count, RFC 9525 section 6.3."""
    bare = issue(HOST, issuer=authority._root)
    seen = await observe(check, bare, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HOSTNAME)
    assert seen.message == (
        "The certificate of 127.0.0.1 has no subject alternative names, only the common name"
        " '127.0.0.1', which browsers ignore."
    )


async def test_a_self_signed_certificate(check: Check) -> None:
    seen = await observe(check, issue(HOST, HOST, issuer=None), None)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert seen.message == "The certificate of 127.0.0.1 is self-signed."


async def test_an_unknown_authority(check: Check, good: Issued) -> None:
    seen = await observe(check, good, None)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert seen.message == (
        "The certificate of 127.0.0.1 is from 'Test Root', an unknown authority, and the server"
        " sends no intermediate certificate."
    )


async def test_an_unknown_root_that_is_sent(check: Check, authority: Authority) -> None:
    issued = authority.issue(HOST, ends=DAYS_90, sends_root=True)
    seen = await observe(check, issued, None)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert seen.message == (
        "The certificate of 127.0.0.1 is from 'Test Root', whose root 'Test Root' is not trusted."
    )


async def test_a_missing_intermediate(check: Check, authority: Authority) -> None:
    complete = authority.issue_through_intermediate(HOST, sends_chain=True)
    assert (await observe(check, complete, authority)).status == Status.UP
    lacking = authority.issue_through_intermediate(HOST, sends_chain=False)
    seen = await observe(check, lacking, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert seen.message == (
        "The certificate of 127.0.0.1 is from 'Test Intermediate', whose intermediate certificate"
        " the server does not send."
    )


async def test_a_chain_that_ends_nowhere(check: Check, authority: Authority) -> None:
    issued = authority.issue_through_intermediate(HOST, sends_chain=True)
    seen = await observe(check, issued, None)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert "but its chain ends at 'Test Root', which is neither sent nor trusted" in seen.message


async def test_an_authority_that_is_none(check: Check, authority: Authority) -> None:
    issued = authority.issue_through_intermediate(HOST, sends_chain=True, is_authority=False)
    seen = await observe(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert seen.message == (
        "The certificate of 127.0.0.1 is from 'Test Intermediate', whose own certificate is not"
        " that of an authority."
    )


async def test_another_signature_on_an_authority_does_not_count(
    check: Check, authority: Authority
) -> None:
    """As it comes along for old clients, and may end soon or be weak without harm."""
    middle = issue("Test Intermediate", issuer=authority._root, is_authority=True)
    leaf = issue(HOST, HOST, issuer=middle, ends=timedelta(days=80))
    cross = issue(
        "Test Root",
        issuer=issue("Older Root", issuer=None, is_authority=True),
        is_authority=True,
        key=authority._root.key,
        ends=timedelta(days=3),
    )
    issued = Issued(leaf.certificate, leaf.key, (middle.certificate, cross.certificate))
    seen = await observe(check, issued, authority)
    assert seen.status == Status.UP, seen.message


async def test_an_intermediate_that_expired(check: Check, authority: Authority) -> None:
    issued = authority.issue_through_intermediate(HOST, sends_chain=True, ends=-timedelta(days=1))
    seen = await observe(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_EXPIRED)
    assert seen.message.startswith("The intermediate certificate 'Test Intermediate' expired on ")


async def test_everything_wrong_is_told_at_once(check: Check) -> None:
    issued = issue(
        "other.example",
        "other.example",
        issuer=None,
        starts=-timedelta(days=30),
        ends=-timedelta(days=1, hours=1),
    )
    seen = await observe(check, issued, None)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert re.fullmatch(
        r"The certificate of 127\.0\.0\.1 is self-signed\. Besides: The certificate is for"
        r" other\.example, not for 127\.0\.0\.1\. The certificate of 127\.0\.0\.1 expired on .+",
        seen.message,
    )


async def test_verification_can_be_switched_off(check: Check) -> None:
    seen = await observe(check, issue("other.example", issuer=None), None, verify_tls=False)
    assert seen.status == Status.UP, seen.message


async def test_the_name_can_be_another(check: Check, authority: Authority, good: Issued) -> None:
    right = await observe(check, good, authority, server_name="www.wild.example")
    wrong = await observe(check, good, authority, server_name="a.www.wild.example")
    assert right.status == Status.UP, right.message
    assert (wrong.status, wrong.reason) == (Status.DOWN, Reason.TLS_HOSTNAME)
    assert wrong.message.endswith("not for a.www.wild.example.")


# Degraded


async def test_a_certificate_near_its_end(check: Check, authority: Authority) -> None:
    issued = authority.issue(HOST, ends=timedelta(days=5, hours=1))
    seen = await observe(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.CERT_EXPIRING)
    assert seen.message.endswith("UTC: 5 days left, expected at least 14.")
    assert (await observe(check, issued, authority, cert_expiry_days=5)).status == Status.UP
    assert (await observe(check, issued, authority, cert_expiry_days=0)).status == Status.UP


async def test_an_intermediate_near_its_end(check: Check, authority: Authority) -> None:
    issued = authority.issue_through_intermediate(
        HOST, sends_chain=True, ends=timedelta(days=5, hours=1)
    )
    seen = await observe(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.CERT_EXPIRING)
    assert seen.message.startswith("The intermediate certificate 'Test Intermediate': ")


async def test_a_weak_key(check: Check, authority: Authority) -> None:
    weak = authority.issue(HOST, ends=DAYS_90, key=rsa.generate_private_key(65537, 1024))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    seen = await observe(check, weak.server_context(context), authority)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.TLS_DEPRECATED)
    assert seen.message == "The certificate of 127.0.0.1 has a key of 1024 bits: too weak."


@pytest.fixture(scope="module")
def rsa_authority() -> Authority:
    return Authority(key=rsa.generate_private_key(65537, 2048))


@pytest.mark.parametrize("digest", ["md5", "sha1"])
async def test_a_weak_signature(digest: Digest, check: Check, rsa_authority: Authority) -> None:
    authority = rsa_authority
    weak = authority.issue(HOST, ends=DAYS_90, digest=digest)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    seen = await observe(check, weak.server_context(context), authority)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.TLS_DEPRECATED)
    assert seen.message == (
        f"The certificate of 127.0.0.1 has a signature with {digest.upper()}: too weak."
    )


async def test_a_weak_signature_on_an_intermediate(check: Check, rsa_authority: Authority) -> None:
    authority = rsa_authority
    weak = authority.issue_through_intermediate(HOST, sends_chain=True, digest="sha1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    seen = await observe(check, weak.server_context(context), authority)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.TLS_DEPRECATED)
    assert seen.message == (
        "The intermediate certificate 'Test Intermediate' has a signature with SHA1: too weak."
    )


def old_context(issued: Issued, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = issued.server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    return context


OLD = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
}


@pytest.mark.parametrize("version", OLD)
async def test_old_versions(version: str, check: Check, authority: Authority, good: Issued) -> None:
    context = old_context(good, OLD[version])
    seen = await observe(check, context, authority, min_tls="1.3")
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.TLS_DEPRECATED)
    assert f"speaks TLS {version}, expected 1.3 or newer." in seen.message
    assert (await observe(check, context, authority, min_tls=version)).status == Status.UP


# The handshake


async def hang_up(connection: Connection) -> None:
    await connection.reader.read(100)


async def reset(connection: Connection) -> None:
    await connection.reader.read(100)
    connection.reset()


async def speak_plainly(connection: Connection) -> None:
    await connection.reader.read(100)
    await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await connection.reader.read()


async def refuse_all(connection: Connection) -> None:
    await connection.reader.read(100)
    await connection.send(b"\x15\x03\x01\x00\x02\x02\x28")  # fatal, handshake_failure
    await connection.reader.read()


async def refuse_protocols(connection: Connection) -> None:
    await connection.reader.read(100)
    await connection.send(b"\x15\x03\x03\x00\x02\x02\x78")  # fatal, no_application_protocol
    await connection.reader.read()


async def take_leave(connection: Connection) -> None:
    await connection.reader.read(100)
    await connection.send(b"\x15\x03\x03\x00\x02\x01\x00")  # warning, close_notify
    await connection.reader.read()


async def say_nothing(connection: Connection) -> None:
    await asyncio.Event().wait()


async def send_zeros(connection: Connection) -> None:
    while True:
        await connection.send(bytes(65536))


async def begin_a_record(connection: Connection) -> None:
    await connection.reader.read(100)
    await connection.send(b"\x16\x03\x03\x40\x00" + b"\x02")
    await asyncio.Event().wait()


HANDSHAKES: dict[str, tuple[Conduct, Reason, str]] = {
    "hangs up": (
        hang_up,
        Reason.TLS_HANDSHAKE,
        "The TLS handshake with PLACE failed: it closed the connection.",
    ),
    "takes leave": (
        take_leave,
        Reason.TLS_HANDSHAKE,
        "The TLS handshake with PLACE failed: it closed the connection.",
    ),
    "resets": (
        reset,
        Reason.CONNECT_RESET,
        r"PLACE broke the connection while in the TLS handshake: connection reset by peer, after"
        r" \d+ ms.",
    ),
    "speaks plainly": (
        speak_plainly,
        Reason.TLS_HANDSHAKE,
        "The TLS handshake with PLACE failed: it does not speak TLS.",
    ),
    "refuses": (
        refuse_all,
        Reason.TLS_HANDSHAKE,
        "The TLS handshake with PLACE failed: .*handshake failure.",
    ),
    "knows no such protocol": (
        refuse_protocols,
        Reason.TLS_HANDSHAKE,
        r"The TLS handshake with PLACE failed: it knows none of the protocols offered \(ALPN\).",
    ),
    "says nothing": (
        say_nothing,
        Reason.TIMEOUT,
        "PLACE took longer than 0.4 s, while in the TLS handshake.",
    ),
    "never ends a record": (
        begin_a_record,
        Reason.TIMEOUT,
        "PLACE took longer than 0.4 s, while in the TLS handshake.",
    ),
    "sends zeros": (
        send_zeros,
        Reason.TLS_HANDSHAKE,
        "The TLS handshake with PLACE failed: .+",
    ),
}


@pytest.mark.parametrize("name", HANDSHAKES)
async def test_handshakes_that_fail_are_told_apart(name: str, check: Check) -> None:
    conduct, reason, message = HANDSHAKES[name]
    async with serve(conduct) as server:
        seen = await check("tls", f"{HOST}:{server.port}", timeout=0.4)
        message = message.replace("PLACE", f"{HOST} port {server.port}")
    assert (seen.status, seen.reason) == (Status.DOWN, reason), seen.message
    assert re.fullmatch(message, seen.message), seen.message


async def test_nobody_listens(check: Check) -> None:
    seen = await check("tls", f"{HOST}:{free_port()}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)


async def test_a_port_that_never_answers(check: Check) -> None:
    with unanswered_port() as port:
        seen = await check("tls", f"{HOST}:{port}", timeout=0.3)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_TIMEOUT)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_is_required(
    version: ssl.TLSVersion, check: Check, authority: Authority, good: Issued
) -> None:
    seen = await observe(check, demanding_context(good, authority, version), authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)
    assert seen.message.endswith(" failed: it requires a client certificate.")


def demanding_context(
    good: Issued, authority: Authority, version: ssl.TLSVersion
) -> ssl.SSLContext:
    context = good.server_context()
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.certificate_pem)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_is_shown(
    version: ssl.TLSVersion, check: Check, authority: Authority, good: Issued
) -> None:
    client = authority.issue_through_intermediate("client.example", sends_chain=True)
    seen = await observe(
        check,
        demanding_context(good, authority, version),
        authority,
        client_certificate=client.certificate_pem,
        client_key=client.key_pem,
    )
    assert (seen.status, seen.message) == (Status.UP, "")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_that_is_not_accepted(
    version: ssl.TLSVersion, check: Check, authority: Authority, good: Issued
) -> None:
    stranger = Authority("Another Root").issue("client.example", ends=DAYS_90)
    seen = await observe(
        check,
        demanding_context(good, authority, version),
        authority,
        client_certificate=stranger.certificate_pem,
        client_key=stranger.key_pem,
    )
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)
    assert seen.message.endswith(
        " failed: it does not accept the client certificate (tlsv1 alert unknown ca)."
    )


def test_a_client_certificate_and_its_key_are_a_pair(authority: Authority) -> None:
    one, other = (authority.issue("client.example", ends=DAYS_90) for _ in range(2))
    for settings, words in [
        ({"client_certificate": one.certificate_pem}, "go together"),
        ({"client_certificate": one.certificate_pem, "client_key": other.key_pem}, "belong"),
        ({"client_certificate": one.certificate_pem, "client_key": "nothing"}, "not a PEM key"),
    ]:
        with pytest.raises(ValueError, match=words):
            TlsSettings.model_validate(settings)


async def test_a_client_certificate_that_is_optional(
    check: Check, authority: Authority, good: Issued
) -> None:
    context = good.server_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authority.certificate_pem)
    seen = await observe(check, context, authority)
    assert seen.status == Status.UP


async def test_protocols_are_agreed_on(check: Check, authority: Authority, good: Issued) -> None:
    context = good.server_context()
    context.set_alpn_protocols(["http/1.1"])
    right = await observe(check, context, authority, alpn=["h2", "http/1.1"])
    wrong = await observe(check, context, authority, alpn=["h2"])
    assert right.status == Status.UP
    assert (right.details or {})["alpn"] == "http/1.1"
    assert (wrong.status, wrong.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)
    assert re.search("agreed to none of the protocols|knows none of the protocols", wrong.message)


# STARTTLS


def greet_then_secure(context: ssl.SSLContext, *steps: tuple[bytes, bytes]) -> Conduct:
    """Each step: what to send, and what must come next; then TLS."""

    async def conduct(connection: Connection) -> None:
        for say, hear in steps:
            await connection.send(say)
            if hear:
                assert (await connection.reader.readuntil(hear[-1:])).endswith(hear)
        await secure(connection, context)

    return conduct


async def secure(connection: Connection, context: ssl.SSLContext) -> None:
    """The server's side of a handshake, then silence until the client is gone."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while data := await connection.reader.read(65_536):
        incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLError):
            tls.do_handshake()
        await connection.send(outgoing.read())


STARTTLS: dict[str, list[tuple[bytes, bytes]]] = {
    "smtp": [
        (b"220-mail.example\r\n220 ESMTP\r\n", f"EHLO {own_name(HOST)}\r\n".encode()),
        (b"250-mail.example\r\n250-SIZE 1\r\n250 STARTTLS\r\n", b"STARTTLS\r\n"),
        (b"220 Go ahead\r\n", b""),
    ],
    "imap": [
        (b"* OK IMAP4rev1 ready\r\n", b"a1 STARTTLS\r\n"),
        (b"* CAPABILITY IMAP4rev1\r\na1 OK begin\r\n", b""),
    ],
    "pop3": [(b"+OK ready\r\n", b"STLS\r\n"), (b"+OK begin\r\n", b"")],
    "ftp": [(b"220 ready\r\n", b"AUTH TLS\r\n"), (b"234 begin\r\n", b"")],
    "postgres": [(b"", b"\x04\xd2\x16\x2f"), (b"S", b"")],
}


@pytest.mark.parametrize("protocol", STARTTLS)
async def test_each_way_to_tls(
    protocol: str, check: Check, authority: Authority, good: Issued
) -> None:
    conduct = greet_then_secure(good.server_context(), *STARTTLS[protocol])
    async with serve(conduct) as server:
        seen = await check(
            "tls",
            f"{HOST}:{server.port}",
            starttls=protocol,
            ca_certificate=authority.certificate_pem,
        )
    assert seen.status == Status.UP, seen.message


REFUSALS: dict[str, tuple[str, list[bytes], Reason, str]] = {
    "another protocol": (
        "smtp",
        [b"SSH-2.0-OpenSSH_9\r\n"],
        Reason.BANNER_MISMATCH,
        'Expected a reply with a three-digit code from PLACE, got "SSH-2.0-OpenSSH_9".',
    ),
    "busy": (
        "smtp",
        [b"421 too busy\r\n"],
        Reason.BANNER_MISMATCH,
        'Expected a greeting with code 220 from PLACE, got "421 too busy".',
    ),
    "not offered": (
        "smtp",
        [b"220 hi\r\n", b"250 mail.example\r\n"],
        Reason.TLS_HANDSHAKE,
        "PLACE offers no STARTTLS.",
    ),
    "refused": (
        "smtp",
        [b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"454 not now\r\n"],
        Reason.TLS_HANDSHAKE,
        'PLACE does not go over to TLS: it said "454 not now".',
    ),
    "smuggled": (
        "smtp",
        [b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"220 go\r\n250 evil\r\n"],
        Reason.TLS_HANDSHAKE,
        "PLACE went on in the clear after agreeing to TLS.",
    ),
    "imap refused": (
        "imap",
        [b"* OK hi\r\n", b"a1 BAD what\r\n"],
        Reason.TLS_HANDSHAKE,
        'PLACE does not go over to TLS: it said "a1 BAD what".',
    ),
    "pop3 refused": (
        "pop3",
        [b"+OK hi\r\n", b"-ERR what\r\n"],
        Reason.TLS_HANDSHAKE,
        'PLACE does not go over to TLS: it said "-ERR what".',
    ),
    "postgres without": (
        "postgres",
        [b"", b"N"],
        Reason.TLS_HANDSHAKE,
        "PLACE is set up without TLS.",
    ),
    "closed at once": (
        "imap",
        [],
        Reason.BANNER_MISMATCH,
        "PLACE closed the connection without a word.",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_ways_to_tls_that_are_barred(name: str, check: Check) -> None:
    protocol, said, reason, message = REFUSALS[name]

    async def conduct(connection: Connection) -> None:
        for at, text in enumerate(said):
            await connection.send(text)
            if at + 1 < len(said):
                await connection.reader.read(1000)

    async with serve(conduct) as server:
        seen = await check("tls", f"{HOST}:{server.port}", starttls=protocol)
        message = message.replace("PLACE", f"{HOST} port {server.port}")
    assert (seen.status, seen.reason, seen.message) == (Status.DOWN, reason, message)


async def test_a_greeting_without_end(check: Check) -> None:
    async def chatter(connection: Connection) -> None:
        while True:
            await connection.send(b"220-" + b"x" * 10_000)

    async with serve(chatter) as server:
        seen = await check("tls", f"{HOST}:{server.port}", starttls="smtp")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BANNER_MISMATCH)
    assert "said more than 65536 bytes" in seen.message


# Names, guard, many at once


@pytest.mark.parametrize(
    ("host", "name", "expected"),
    [
        ("x.example", "x.example", True),
        ("X.Example", "x.EXAMPLE", True),
        ("x.example", "*.example", False),
        ("a.x.example", "*.x.example", True),
        ("a.b.x.example", "*.x.example", False),
        ("x.example", "*.x.example", False),
        ("a.x.example", "a*.x.example", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "*.0.0.1", False),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("::1", "x.example", False),
    ],
)
def test_names_cover_hosts(host: str, name: str, expected: bool) -> None:
    assert is_for(host, [name]) is expected


async def test_names_resolve_through_the_checks_own_resolver(
    check: Check, authority: Authority, good: Issued
) -> None:
    with serve_tls(good.server_context()) as server:
        zone = {"x.example": [HOST], "y.example": dns.NXDOMAIN}
        async with serve_names(zone) as names:
            options = {"resolver": names.address, "ca_certificate": authority.certificate_pem}
            seen = await check("tls", f"x.example:{server.port}", **options)
            gone = await check("tls", "y.example", **options)
    assert seen.status == Status.UP, seen.message
    assert gone.reason == Reason.DNS_NXDOMAIN


async def test_forbidden_networks_are_not_connected_to(check: Check) -> None:
    async with serve(say_nothing) as server:
        seen = await check("tls", f"{HOST}:{server.port}", allow_private=False)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TARGET_FORBIDDEN)
    assert server.connections == 0


async def test_certificates_can_be_asserted(
    check: Check, authority: Authority, good: Issued
) -> None:
    wanted = {
        "source": "certificate",
        "property": "key_bits",
        "comparison": "at_least",
        "value": 384,
    }
    seen = await observe(check, good, authority, assertions=[wanted])
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert "256" in seen.message


async def test_a_longer_key_of_another_kind_is_up(check: Check, authority: Authority) -> None:
    issued = authority.issue(HOST, ends=DAYS_90, key=ec.generate_private_key(ec.SECP384R1()))
    assert (await observe(check, issued, authority)).status == Status.UP


async def test_handshakes_that_hang_leave_others_on_time(
    prober: Prober, authority: Authority, good: Issued
) -> None:
    async with (
        serve(say_nothing) as silent,
        serve(
            greet_then_secure(good.server_context(), (b"+OK\r\n", b"STLS\r\n"), (b"+OK\r\n", b""))
        ) as server,
    ):
        settings = {"ca_certificate": authority.certificate_pem, "starttls": "pop3"}
        jobs = [
            make_job("tls", f"{HOST}:{one.port}", timeout=2, **settings)
            for one in [server, silent] * 25
        ]
        seen = await asyncio.gather(*(prober.observe(job) for job in jobs))
    assert {one.status for one in seen[::2]} == {Status.UP}
    assert {one.reason for one in seen[1::2]} == {Reason.TIMEOUT}
