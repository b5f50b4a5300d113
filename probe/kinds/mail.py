"""What smtp, imap and pop3 have in common: how to get to TLS, and an optional login."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from probe.assertions import Judge, Source
from probe.kinds.base import clean_host, join_host_port, split_host_port
from probe.kinds.session import (
    NETWORK_SECTION,
    TLS_SECTION,
    Session,
    SessionPlan,
    StreamSettings,
)
from probe.net import Trouble
from probe.starttls import StartTls, shown
from probe.values import Reason, Spec

Security = Literal["none", "starttls", "tls"]
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class MailSettings(StreamSettings):
    security: Security = Field(
        default="none",
        title="Security",
        description="In the clear, going over to TLS (STARTTLS), or TLS from the first byte.",
    )
    username: str | None = Field(
        default=None,
        max_length=500,
        title="User name",
        description="Log in as well. Empty: only greet.",
    )
    password: SecretStr | None = Field(default=None, max_length=500, title="Password")

    @field_validator("username")
    @classmethod
    def _check_username(cls, name: str | None) -> str | None:
        if name and _CONTROL.search(name):
            raise ValueError("A user name has no control characters")
        return name or None

    @field_validator("password")
    @classmethod
    def _check_password(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None and _CONTROL.search(password.get_secret_value()):
            raise ValueError("A password has no control characters")
        return password

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("A user name and its password go together")
        return self

    @property
    def login(self) -> tuple[str, str] | None:
        """User name and password, where there are any."""
        if self.username is None or self.password is None:
            return None
        return self.username, self.password.get_secret_value()


SECTIONS = {
    "": ("security", "assertions"),
    "Login": ("username", "password"),
    "TLS and certificates": TLS_SECTION,
    "Network": NETWORK_SECTION,
}


def planner(protocol: StartTls, port: int) -> Callable[[Spec], SessionPlan]:
    """What makes plans for a protocol with its standard port."""
    ways: dict[Security, StartTls | None] = {"none": None, "starttls": protocol, "tls": "none"}

    def make_plan(spec: Spec) -> SessionPlan:
        settings: MailSettings = spec.settings
        host, chosen_port = split_host_port(spec.target, port)
        judge = Judge(settings.assertions, settings.assertion_tree)
        return SessionPlan(host, chosen_port, ways[settings.security], settings, judge)

    return make_plan


def cleaner(port: int) -> Callable[[str], str]:
    """What brings a target, whose port may be left out, to its normal form."""

    def clean_target(text: str) -> str:
        host, chosen_port = split_host_port(text, port)
        return join_host_port(clean_host(host), chosen_port)

    return clean_target


def keep_greeting(session: Session) -> None:
    """Remember how the server introduced itself, for the assertions."""
    session.facts[Source.BANNER] = session.lines.first_line


def login_refused(
    session: Session, username: str, said: str, *, is_for_good: bool = True
) -> Trouble:
    """What to raise where a login failed; `is_for_good`: because of the login itself, and not
    because the server can't tell just now."""
    if is_for_good:
        message = f"{session.place} refuses the login of {username}: it said {shown(said)}."
        return Trouble(Reason.AUTH_FAILED, message)
    message = f"{session.place} can't judge the login of {username}: it said {shown(said)}."
    return Trouble(Reason.BANNER_MISMATCH, message)
