"""The product's configuration as it comes from the environment.

Every variable of docs/configuration.md is read here and nowhere else. `NAME_FILE` names a file that
holds the value of `NAME`, as container platforms mount secrets.
"""

import secrets
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.FileAwareEnv()

Network = IPv4Network | IPv6Network


def data_dir() -> Path:
    """Where this instance keeps what must survive: the embedded database, the generated secret."""
    return Path(env.str("UPTIME_DATA_DIR", default=str(BASE_DIR / "var"))).expanduser().resolve()


def listen_address() -> tuple[str, int]:
    """Host and port that the web listens on."""
    text = env.str("UPTIME_PORT", default="8000")
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise ImproperlyConfigured(f"UPTIME_PORT is {text!r} and not a number from 1 to 65535")
    return env.str("UPTIME_HOST", default="127.0.0.1"), int(text)


def trusted_proxies() -> list[Network]:
    """The networks whose `X-Forwarded-*` headers count."""
    texts = env.list("UPTIME_TRUSTED_PROXIES", default=["127.0.0.1/32", "::1/128"])
    try:
        return [ip_network(text.strip()) for text in texts if text.strip()]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"UPTIME_TRUSTED_PROXIES is a list of networks such as 10.0.0.0/8: {error}"
        ) from None


def embedded_socket_dir() -> Path:
    """The directory of the embedded PostgreSQL's socket (its path must stay under 107 bytes)."""
    inside = data_dir() / "run"
    if len(str(inside)) <= 80:
        return inside
    import hashlib

    return Path("/tmp") / f"uptime-{hashlib.sha256(str(data_dir()).encode()).hexdigest()[:16]}"  # noqa: S108 - created 0700 by its owner, refused if another owns it


def database() -> dict[str, object]:
    """Django's database settings: `DATABASE_URL`, or else the embedded PostgreSQL's socket."""
    if url := env.str("DATABASE_URL", default=""):
        parsed = _parse_database_url(url)
        # libpq by itself waits for minutes at an address that does not answer
        parsed["OPTIONS"] = {"connect_timeout": 5, **parsed.get("OPTIONS", {})}
        return parsed
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "uptime",
        "USER": "uptime",
        "HOST": str(embedded_socket_dir()),
    }


def _parse_database_url(url: str) -> dict[str, Any]:
    # What is wrong with it is not repeated: the piece that does not fit may be of the password.
    try:
        if url.startswith(("postgres://", "postgresql://")):
            parsed: dict[str, Any] = environ.Env.db_url_config(url)
            return parsed
    except ValueError:
        pass
    raise ImproperlyConfigured(
        "DATABASE_URL is not of the form postgres://USER:PASSWORD@HOST:PORT/NAME"
        " (signs such as @ / # in the password are written as %40 %2F %23)"
    )


def is_database_embedded() -> bool:
    return not env.str("DATABASE_URL", default="")


def secret_keys() -> list[str]:
    """The signing and encryption secrets, newest first.

    `UPTIME_SECRET_KEY` may list several, separated by commas: the first one signs and encrypts, the
    others still verify and decrypt, so a key is rotated by putting a new one in front. Without the
    variable a key is generated once and kept in the data directory.
    """
    if given := env.str("UPTIME_SECRET_KEY", default=""):
        return [key for key in (part.strip() for part in given.split(",")) if key]
    path = data_dir() / "secret_key"
    try:
        return [_kept_key(path)]
    except OSError as error:
        raise ImproperlyConfigured(
            f"the secret key {path} can't be read or made ({error.strerror}): give this user the"
            " data directory, or set UPTIME_DATA_DIR or UPTIME_SECRET_KEY"
        ) from error


def _kept_key(path: Path) -> str:
    """The key in the file; made first when there is none."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".secret_key-{secrets.token_hex(4)}")
    scratch.touch(mode=0o600)
    scratch.write_text(secrets.token_urlsafe(48))
    try:
        path.hardlink_to(scratch)  # atomic: of two first starts, one wins and both read its key
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
    return path.read_text().strip()
