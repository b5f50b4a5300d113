"""The product's configuration as it comes from the environment.

Every variable of docs/configuration.md is read here and nowhere else. `NAME_FILE` names a file that
holds the value of `NAME`, as container platforms mount secrets.
"""

import secrets
from pathlib import Path
from typing import Any

import environ

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.FileAwareEnv()


def data_dir() -> Path:
    """Where this instance keeps what must survive: the embedded database, the generated secret."""
    return Path(env.str("UPTIME_DATA_DIR", default=str(BASE_DIR / "var"))).expanduser().resolve()


def embedded_socket_dir() -> Path:
    """The directory of the embedded PostgreSQL's socket (its path must stay under 107 bytes)."""
    inside = data_dir() / "run"
    if len(str(inside)) <= 80:
        return inside
    import hashlib

    return Path("/tmp") / f"uptime-{hashlib.sha256(str(data_dir()).encode()).hexdigest()[:16]}"  # noqa: S108 - created 0700 by its owner, refused if another owns it


def database() -> dict[str, object]:
    """Django's database settings: `DATABASE_URL` when given, else the embedded PostgreSQL's socket."""
    if url := env.str("DATABASE_URL", default=""):
        parsed: dict[str, Any] = environ.Env.db_url_config(url)
        # libpq by itself waits for minutes at an address that does not answer
        parsed["OPTIONS"] = {"connect_timeout": 5, **parsed.get("OPTIONS", {})}
        return parsed
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "uptime",
        "USER": "uptime",
        "HOST": str(embedded_socket_dir()),
    }


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
        return [path.read_text().strip()]
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    generated = secrets.token_urlsafe(48)
    scratch = path.with_name(f".secret_key-{secrets.token_hex(4)}")
    scratch.touch(mode=0o600)
    scratch.write_text(generated)
    try:
        path.hardlink_to(scratch)  # atomic: of two first starts, one wins and both read its key
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
    return [path.read_text().strip()]
