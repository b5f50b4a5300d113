"""The http check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probe.values import Job, Observation

if TYPE_CHECKING:
    from probe.net import Net


async def observe(job: Job, net: Net) -> Observation:
    raise NotImplementedError
