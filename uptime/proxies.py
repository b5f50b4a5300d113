"""Who a request is from, when a reverse proxy stands in front.

`X-Forwarded-For` and `X-Forwarded-Proto` can be sent by anybody. They count if they come from a
trusted proxy (UPTIME_TRUSTED_PROXIES), and are taken off every other request.
"""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.utils.decorators import sync_and_async_middleware

from uptime.environment import Network

Address = IPv4Address | IPv6Address

FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"
FORWARDED = (FORWARDED_FOR, "HTTP_X_FORWARDED_PROTO")


@sync_and_async_middleware
def trust_proxies(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Django middleware: `REMOTE_ADDR` becomes the client's address. It stands first."""
    if iscoroutinefunction(get_response):

        async def respond_async(request: HttpRequest) -> Any:
            settle_origin(request.META, settings.TRUSTED_PROXIES)
            return await get_response(request)

        return respond_async

    def respond(request: HttpRequest) -> Any:
        settle_origin(request.META, settings.TRUSTED_PROXIES)
        return get_response(request)

    return respond


def settle_origin(meta: dict[str, Any], trusted: Sequence[Network]) -> None:
    """Take the client's address from a trusted proxy's word; drop anybody else's."""
    peer = _address(meta.get("REMOTE_ADDR", ""))
    if peer is None or not _is_among(peer, trusted):
        for name in FORWARDED:
            meta.pop(name, None)
        return
    meta["REMOTE_ADDR"] = str(decide_client(peer, meta.get(FORWARDED_FOR, ""), trusted))


def decide_client(peer: Address, forwarded_for: str, trusted: Sequence[Network]) -> Address:
    """The nearest address of the chain that is no trusted proxy.

    Each proxy appends who it was called by, so that only what trusted ones appended is known: the
    chain is read from its end. What is before the first stranger, that stranger may have made up.
    """
    client = peer
    for text in reversed(forwarded_for.split(",")):
        if not _is_among(client, trusted):
            break
        before = _address(text.strip())
        if before is None:
            break
        client = before
    return client


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket for both families shows IPv4 as ::ffff:192.0.2.1.
    return getattr(address, "ipv4_mapped", None) or address


def _is_among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
