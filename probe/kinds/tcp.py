"""tcp: connect, optionally under TLS, send a text, expect a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from probe.kinds.base import IpVersion, Kind, KindSettings, Resolver, clean_host_port
from probe.values import Job, Observation

if TYPE_CHECKING:
    from probe.net import Net


class TcpSettings(KindSettings):
    send: str | None = Field(
        default=None,
        max_length=10_000,
        title="Send",
        description=r"Sent after connecting. \r, \n, \t and \xHH stand for what they do in code.",
    )
    expect: str | None = Field(
        default=None,
        max_length=10_000,
        title="Expect",
        description="Text that must appear in what the server says.",
    )
    tls: bool = Field(default=False, title="TLS", description="Speak TLS from the first byte.")
    verify_tls: bool = Field(
        default=True,
        title="Verify certificate",
        description="With TLS, check the certificate's chain, names and dates.",
    )
    ip_version: IpVersion = Field(
        default="auto", title="IP version", description="Connect over IPv4, IPv6 or either."
    )
    resolver: Resolver | None = Field(
        default=None,
        title="Resolver",
        description="Ask this name server (ip or ip:port) instead of the system's.",
    )


async def observe(job: Job, net: Net) -> Observation:
    raise NotImplementedError


KIND = Kind("tcp", "TCP port", TcpSettings, observe, clean_host_port)
