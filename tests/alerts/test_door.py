"""The door: whom it lets out to whom."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from alerts import door as door_module
from alerts.door import ANSWER_LIMIT, Answer, Door
from alerts.errors import DeliveryError
from tests.servers.webhook import Receiver, Reply

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "127.1", "[::ffff:127.0.0.1]"]
)
def test_a_teams_message_does_not_reach_loopback_by_any_name(receiver: Receiver, host: str) -> None:
    url = receiver.url.replace("127.0.0.1", host)
    with pytest.raises(DeliveryError, match="closed to alerts") as raised:
        Door().post(url, body=b"", headers={})
    assert raised.value.is_permanent
    assert receiver.requests == []


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
def test_private_networks_are_closed(address: str) -> None:
    with pytest.raises(DeliveryError, match="closed to alerts"):
        Door().post(f"http://{address}/", body=b"", headers={})


@pytest.mark.parametrize("address", ["[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]"])
def test_private_networks_of_version_6_are_closed(address: str) -> None:
    with pytest.raises(DeliveryError, match="closed to alerts"):
        Door().post(f"http://{address}/", body=b"", headers={})


def test_staff_and_the_operators_own_addresses_pass(receiver: Receiver) -> None:
    assert Door(reaches_private=True).post(receiver.url, body=b"", headers={}).is_success
    assert Door().post(receiver.url, body=b"", headers={}, is_operators=True).is_success


def test_a_long_answer_is_cut(receiver: Receiver) -> None:
    receiver.will(Reply(200, body=b"x" * (ANSWER_LIMIT * 3)))
    answer = Door(reaches_private=True).post(receiver.url, body=b"", headers={})
    assert len(answer.body) == ANSWER_LIMIT


def test_a_name_that_does_not_exist_is_told() -> None:
    with pytest.raises(DeliveryError, match=r"no-such-host\.invalid: ") as raised:
        Door().post("http://no-such-host.invalid/secret", body=b"", headers={})
    assert not raised.value.is_permanent
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", timedelta(seconds=120)),
        ("Sun, 01 Mar 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", timedelta()),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1e9", None),
    ],
)
def test_how_long_a_receiver_asks_to_be_left_alone(value: str, expected: timedelta | None) -> None:
    assert Answer(429, {"retry-after": value}, b"").retry_after(NOW) == expected


@pytest.fixture
def tls_receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Receiver, trustme.CA]]:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    with Receiver(tls=server_side) as receiver:
        yield receiver, authority


def test_tls_is_verified_by_the_name_though_the_address_is_dialled(
    tls_receiver: tuple[Receiver, trustme.CA], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, authority = tls_receiver
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    monkeypatch.setattr(door_module, "load_authorities", lambda: client_side)
    door = Door(reaches_private=True)
    assert door.post(
        receiver.url.replace("127.0.0.1", "localhost"), body=b"", headers={}
    ).is_success
    with pytest.raises(DeliveryError, match="certificate is not trusted"):
        door.post(receiver.url, body=b"", headers={})


def test_an_unknown_authority_is_told(tls_receiver: tuple[Receiver, trustme.CA]) -> None:
    receiver, _ = tls_receiver
    with pytest.raises(DeliveryError, match="certificate is not trusted"):
        Door(reaches_private=True).post(receiver.url, body=b"", headers={})
