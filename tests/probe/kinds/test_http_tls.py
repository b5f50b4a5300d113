"""Certificates: what is wrong with each is told apart, with names and dates."""

import re
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from probe.certificates import expiry_warning
from probe.values import Observation, Reason, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.authority import Authority, Digest, Issued, issue
from tests.servers.dns import serve_names
from tests.servers.raw import Connection, serve
from tests.servers.tls import serve_tls

DAYS_90 = timedelta(days=90)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def observe_tls(
    check: Check, issued: Issued, authority: Authority | None, **settings: object
) -> Observation:
    if authority is not None:
        settings["ca_certificate"] = authority.certificate_pem
    with serve_tls(issued.server_context()) as server:
        return await check("http", server.url, **settings)


async def test_a_good_certificate_is_up_and_dated(check: Check, authority: Authority) -> None:
    issued = authority.issue("127.0.0.1", ends=DAYS_90)
    seen = await observe_tls(check, issued, authority)
    assert seen.status == Status.UP, seen.message
    assert seen.cert_expires_at == issued.certificate.not_valid_after_utc
    assert seen.phases.tls_ms is not None


async def test_an_expired_certificate_is_told_with_its_date(
    check: Check, authority: Authority
) -> None:
    issued = authority.issue("127.0.0.1", ends=-timedelta(days=3, hours=1))
    seen = await observe_tls(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_EXPIRED)
    assert re.fullmatch(
        r"The certificate of 127\.0\.0\.1 expired on [\d-]+ [\d:]+ UTC, 3 days ago\.", seen.message
    )
    assert seen.cert_expires_at == issued.certificate.not_valid_after_utc


async def test_a_certificate_from_the_future_is_told_with_its_date(
    check: Check, authority: Authority
) -> None:
    issued = authority.issue("127.0.0.1", starts=timedelta(days=2), ends=DAYS_90)
    seen = await observe_tls(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_NOT_YET_VALID)
    starts_at = issued.certificate.not_valid_before_utc
    assert seen.message == (
        f"The certificate of 127.0.0.1 is not valid before {starts_at:%Y-%m-%d %H:%M} UTC."
    )


async def test_a_certificate_for_others_is_told_with_their_names(
    check: Check, authority: Authority
) -> None:
    issued = authority.issue("other.example", "www.other.example", ends=DAYS_90)
    seen = await observe_tls(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HOSTNAME)
    assert seen.message == (
        "The certificate is for other.example, www.other.example, not for 127.0.0.1."
    )


async def test_a_common_name_alone_names_nobody(check: Check, authority: Authority) -> None:
    bare = issue("name.test", issuer=authority._root, ends=DAYS_90)
    with serve_tls(bare.server_context()) as server:
        url = f"https://name.test:{server.port}"
        async with serve_names({"name.test": ["127.0.0.1"]}) as names:
            trusting = {"ca_certificate": authority.certificate_pem, "resolver": names.address}
            seen = await check("http", url, **trusting)
            unverified = await check("http", url, **trusting, verify_tls=False)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HOSTNAME)
    assert seen.message == (
        "The certificate of name.test has no subject alternative names, only the common name"
        " 'name.test', which browsers ignore."
    )
    assert seen.cert_expires_at == bare.certificate.not_valid_after_utc
    assert unverified.status == Status.UP


async def test_a_self_signed_certificate_is_untrusted(check: Check) -> None:
    seen = await observe_tls(check, issue("127.0.0.1", "127.0.0.1", issuer=None), None)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert seen.message == "The certificate of 127.0.0.1 is self-signed."


async def test_an_unknown_authority_is_named(check: Check, authority: Authority) -> None:
    seen = await observe_tls(check, authority.issue("127.0.0.1", ends=DAYS_90), None)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert seen.message == (
        "The certificate of 127.0.0.1 is from 'Test Root', which is not trusted, or an intermediate"
        " certificate is missing."
    )


async def test_a_missing_intermediate_is_untrusted(check: Check, authority: Authority) -> None:
    complete = authority.issue_through_intermediate("127.0.0.1", sends_chain=True)
    assert (await observe_tls(check, complete, authority)).status == Status.UP
    lacking = authority.issue_through_intermediate("127.0.0.1", sends_chain=False)
    seen = await observe_tls(check, lacking, authority)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert "'Test Intermediate', which is not trusted, or an intermediate" in seen.message


async def test_verification_can_be_switched_off(check: Check) -> None:
    issued = issue("other.example", issuer=None)
    seen = await observe_tls(check, issued, None, verify_tls=False)
    assert seen.status == Status.UP
    assert seen.cert_expires_at == issued.certificate.not_valid_after_utc


async def test_a_certificate_near_its_end_is_degraded(check: Check, authority: Authority) -> None:
    issued = authority.issue("127.0.0.1", ends=timedelta(days=5, hours=1))
    seen = await observe_tls(check, issued, authority)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.CERT_EXPIRING)
    assert seen.message.endswith("UTC: 5 days left, expected at least 14.")
    assert (await observe_tls(check, issued, authority, cert_expiry_days=0)).status == Status.UP


async def test_days_left_are_not_looked_at_where_none_are_asked_for(check: Check) -> None:
    old = issue("127.0.0.1", "127.0.0.1", issuer=None, ends=-timedelta(days=3))
    seen = await observe_tls(check, old, None, verify_tls=False, cert_expiry_days=0)
    warned = await observe_tls(check, old, None, verify_tls=False)
    assert seen.status == Status.UP, seen.message
    assert (warned.status, warned.reason) == (Status.DEGRADED, Reason.CERT_EXPIRING)


async def test_days_left_can_be_asserted(check: Check, authority: Authority) -> None:
    issued = authority.issue("127.0.0.1", ends=timedelta(days=40))
    wanted = {"source": "cert_days", "comparison": "greater_than", "value": 60}
    seen = await observe_tls(check, issued, authority, assertions=[wanted])
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert seen.message.startswith("Days left on the certificate should be greater than 60, got ")


async def test_old_tls_is_degraded(check: Check, authority: Authority) -> None:
    context = authority.issue("127.0.0.1", ends=DAYS_90).server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serve_tls(context) as server:
        ca = authority.certificate_pem
        modern = await check("http", server.url, ca_certificate=ca)
        strict = await check("http", server.url, ca_certificate=ca, min_tls="1.3")
    assert modern.status == Status.UP
    assert (strict.status, strict.reason) == (Status.DEGRADED, Reason.TLS_DEPRECATED)


def old_context() -> ssl.SSLContext:
    """A server that takes whatever there ever was."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return context


async def test_a_weak_key_is_degraded(check: Check, authority: Authority) -> None:
    weak = authority.issue("127.0.0.1", ends=DAYS_90, key=rsa.generate_private_key(65537, 1024))
    with serve_tls(weak.server_context(old_context())) as server:
        seen = await check("http", server.url, ca_certificate=authority.certificate_pem)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.TLS_DEPRECATED)
    assert seen.message == "The certificate of 127.0.0.1 has a key of 1024 bits: too weak."


async def test_a_weak_key_does_not_hide_that_it_is_expired(
    check: Check, authority: Authority
) -> None:
    key = rsa.generate_private_key(65537, 1024)
    weak = authority.issue("127.0.0.1", ends=-timedelta(days=3), key=key)
    with serve_tls(weak.server_context(old_context())) as server:
        seen = await check("http", server.url, ca_certificate=authority.certificate_pem)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_EXPIRED)


@pytest.mark.parametrize("digest", ["md5", "sha1"])
async def test_a_weak_signature_is_degraded(digest: Digest, check: Check) -> None:
    authority = Authority(key=rsa.generate_private_key(65537, 2048))
    weak = authority.issue("127.0.0.1", ends=DAYS_90, digest=digest)
    with serve_tls(weak.server_context(old_context())) as server:
        seen = await check("http", server.url, ca_certificate=authority.certificate_pem)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.TLS_DEPRECATED)
    assert seen.message == (
        f"The certificate of 127.0.0.1 has a signature with {digest.upper()}: too weak."
    )


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_a_server_of_tls_1_0_or_1_1_is_degraded(
    kind: str, version: ssl.TLSVersion, check: Check, authority: Authority
) -> None:
    context = old_context()
    context.maximum_version = version
    issued = authority.issue("127.0.0.1", ends=DAYS_90)
    with serve_tls(issued.server_context(context)) as server:
        target = server.url if kind == "http" else f"127.0.0.1:{server.port}"
        settings = {} if kind == "http" else {"tls": True}
        seen = await check(kind, target, ca_certificate=authority.certificate_pem, **settings)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.TLS_DEPRECATED)
    name = {ssl.TLSVersion.TLSv1: "1.0", ssl.TLSVersion.TLSv1_1: "1.1"}[version]
    limit = " at most, expected 1.2." if kind == "http" else ", expected 1.2 or newer."
    assert seen.message == f"127.0.0.1 port {server.port} speaks TLS {name}{limit}"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_tls_that_is_asked_for_is_up(
    version: ssl.TLSVersion, check: Check, authority: Authority
) -> None:
    context = authority.issue("127.0.0.1", ends=DAYS_90).server_context()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with serve_tls(context) as server:
        seen = await check(
            "http", server.url, ca_certificate=authority.certificate_pem, min_tls="1.0"
        )
    assert seen.status == Status.UP, seen.message


async def test_a_client_certificate_is_shown_to_the_target_only(
    check: Check, authority: Authority
) -> None:
    context = authority.issue("127.0.0.1", ends=DAYS_90).server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.certificate_pem)
    client = authority.issue("client.example", ends=DAYS_90)
    with serve_tls(context) as server:
        ca = authority.certificate_pem
        without = await check("http", server.url, ca_certificate=ca)
        shown = await check(
            "http",
            server.url,
            ca_certificate=ca,
            client_certificate=client.certificate_pem,
            client_key=client.key_pem,
        )
        async with serve(http.answer(http.redirect(server.url))) as elsewhere:
            strayed = await check(
                "http",
                elsewhere.url,
                ca_certificate=ca,
                client_certificate=client.certificate_pem,
                client_key=client.key_pem,
            )
    assert (without.status, without.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)
    assert shown.status == Status.UP, shown.message
    assert (strayed.status, strayed.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)


async def test_a_client_certificate_that_can_not_be_shown_is_no_fault_of_the_target(
    check: Check, authority: Authority
) -> None:
    weak = authority.issue(
        "client.example", ends=DAYS_90, key=rsa.generate_private_key(65537, 1024)
    )
    with serve_tls(authority.issue("127.0.0.1", ends=DAYS_90).server_context()) as server:
        seen = await check(
            "http",
            server.url,
            ca_certificate=authority.certificate_pem,
            client_certificate=weak.certificate_pem,
            client_key=weak.key_pem,
        )
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert seen.message.startswith("The client certificate can't be used: ")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_handshake_that_fails_once_is_not_for_age(
    version: ssl.TLSVersion, check: Check, authority: Authority
) -> None:
    context = authority.issue("127.0.0.1", ends=DAYS_90).server_context()
    context.maximum_version = version
    served = 0

    async def fail_once(connection: Connection) -> None:
        nonlocal served
        served += 1
        if served == 1:
            await connection.reader.read(1)
            return
        await connection.start_tls(context)
        await connection.read_request()
        await connection.send(http.OK)

    async with serve(fail_once) as server:
        url = f"https://127.0.0.1:{server.port}"
        first = await check("http", url, ca_certificate=authority.certificate_pem)
        second = await check("http", url, ca_certificate=authority.certificate_pem)
    assert (first.status, first.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)
    assert second.status == Status.UP, second.message


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_wants_a_client_certificate_is_told_from_one_that_hangs_up(
    version: ssl.TLSVersion, check: Check, authority: Authority
) -> None:
    context = authority.issue("127.0.0.1", ends=DAYS_90).server_context()
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.certificate_pem)
    with serve_tls(context) as server:
        seen = await check("http", server.url, ca_certificate=authority.certificate_pem)
    assert seen.reason == Reason.TLS_HANDSHAKE, seen.message
    assert "asks for a client certificate and did not go on" in seen.message


async def test_trust_in_an_authority_is_one_monitors_own(
    check: Check, authority: Authority
) -> None:
    issued = authority.issue("127.0.0.1", ends=DAYS_90)
    assert (await observe_tls(check, issued, authority)).status == Status.UP
    assert (await observe_tls(check, issued, None)).reason == Reason.TLS_UNTRUSTED
    assert issued.certificate.not_valid_after_utc > datetime.now(UTC)


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (timedelta(days=3, minutes=1), "3 days left, expected at least 14."),
        (timedelta(hours=5, minutes=1), "5 hours left, expected at least 14 days."),
        (timedelta(minutes=20, seconds=9), "20 minutes left, expected at least 14 days."),
        (-timedelta(hours=3, minutes=1), "UTC, 3 hours ago."),
    ],
)
def test_the_time_left_is_told_in_what_says_most(left: timedelta, told: str) -> None:
    assert expiry_warning(datetime.now(UTC) + left, 14).endswith(told)
