"""The ways to reach somebody: one module for each, found by walking this package.

A module exports `CHANNEL`; to add a channel is to add a file, to remove one is to delete it. Forms,
the API's schema and the documentation derive from this registry. What two of them share stands in a
module whose name begins with `_`.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from alerts.channels.base import ChannelType


def _found() -> dict[str, ChannelType[Any]]:
    modules = {module.name for module in iter_modules(__path__)} - {"base"}
    names = sorted(name for name in modules if not name.startswith("_"))
    channels = [import_module(f"{__name__}.{name}").CHANNEL for name in names]
    return {channel.name: channel for channel in channels}


CHANNELS = _found()
