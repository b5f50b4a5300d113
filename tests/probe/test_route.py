"""The traceroute beside a check asks as the check did."""

from typing import Any

import pytest

from probe.route import route_job
from tests.probe.conftest import make_job


@pytest.mark.parametrize(
    ("kind", "target", "settings", "asked"),
    [
        ("http", "https://x.example/a", {}, ("x.example", "tcp", 443)),
        ("http", "http://x.example:8080/", {}, ("x.example", "tcp", 8080)),
        ("http", "http://[2001:db8::1]/", {"ip_version": "6"}, ("2001:db8::1", "tcp", 80)),
        ("websocket", "wss://x.example/", {}, ("x.example", "tcp", 443)),
        ("tcp", "[2001:db8::1]:25", {}, ("2001:db8::1", "tcp", 25)),
        ("redis", "x.example:6379", {"resolver": "192.0.2.1"}, ("x.example", "tcp", 6379)),
        ("icmp", "2001:db8::1", {}, ("2001:db8::1", "icmp", None)),
    ],
)
def test_it_leads_where_the_check_went(
    kind: str, target: str, settings: dict[str, Any], asked: tuple[str, str, int | None]
) -> None:
    job = make_job(kind, target, **settings)
    traced = route_job(job.spec, job.due_at).spec
    way = traced.settings
    assert (traced.target, way.protocol, way.port) == asked
    assert (way.ip_version, way.resolver) == (
        settings.get("ip_version", "auto"),
        job.spec.settings.resolver,
    )
