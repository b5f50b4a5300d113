"""The kinds of check. To add one is to add a module here that exports `KIND`."""

from importlib import import_module
from pkgutil import iter_modules

from probe.kinds.base import Kind


def _find_kinds() -> dict[str, Kind]:
    modules = (import_module(f"{__name__}.{info.name}") for info in iter_modules(__path__))
    found = [module.KIND for module in modules if hasattr(module, "KIND")]
    return {kind.name: kind for kind in found}


KINDS: dict[str, Kind] = _find_kinds()
"""Every kind of check by its name."""
