"""The channels' settings as tables for docs/channels.md, derived from their schemas."""

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from alerts.channels import CHANNELS
from alerts.channels.base import ChannelType


def channel_reference() -> str:
    """Markdown: a section for each channel, by label."""
    ordered = sorted(CHANNELS.values(), key=lambda type_: type_.label.lower())
    return "\n".join(_section(type_) for type_ in ordered)


def _section(type_: ChannelType[Any]) -> str:
    fields = type_.config.model_fields
    worded = [name for name in fields if name.endswith("_template")]
    plain = [name for name in fields if name not in worded]
    rows = [_row(name, fields[name]) for name in [*plain, *worded]]
    head = ["| setting | | default | meaning |", "|---|---|---|---|"]
    proves = f"Asked daily whether it lives. What an answer proves: {type_.proves}"
    asked = [proves, ""] if type_.probe else []
    return "\n".join([f"### {type_.label} (`{type_.name}`)", "", *asked, *head, *rows, ""])


def _row(name: str, info: FieldInfo) -> str:
    title = (info.title or name).replace("|", "\\|")
    meaning = (info.description or "").replace("|", "\\|")
    return f"| `{name}` | {_nature(info.annotation)} | {_default(info)} | {title}. {meaning} |"


def _nature(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _nature(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _nature(next(one for one in get_args(annotation) if one is not type(None)))
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is list:
        return "list"
    if get_origin(annotation) is dict:
        return "names and secret values" if SecretStr in get_args(annotation) else "names, values"
    return {SecretStr: "secret", str: "text", int: "number", bool: "yes or no"}[annotation]


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    if info.default_factory:
        return "generated"
    return f"`{info.default}`" if info.default not in ("", None, [], {}) else ""
