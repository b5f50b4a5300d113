"""Addresses and credentials as settings of a channel.

Where a receiver's address is fixed by its vendor (`https://api.pushover.net`), the channel has a
setting `server` with that default: for the vendor's other regions, for a relay of one's own, for
a server of the same protocol. It is the team's word and goes through the door's guard like every
other address of theirs.
"""

import base64
import re
from typing import Annotated

import httpx
from pydantic import AfterValidator, SecretStr

URL_LIMIT = 2000
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def clean_address(url: str) -> str:
    """A full http(s) URL without credentials. Raises ValueError with a sentence for the user."""
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise ValueError("This is not an address.") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("Give a full address that begins with https:// or http://.")
    if parsed.userinfo:
        raise ValueError("Give credentials in a setting of their own, not in the address.")
    return str(parsed)


def _clean_secret_address(url: SecretStr) -> SecretStr:
    return SecretStr(clean_address(url.get_secret_value()))


def _clean_server(url: str) -> str:
    cleaned = clean_address(url)
    if httpx.URL(cleaned).query or "#" in cleaned:
        raise ValueError("Give the server's address alone, without a query.")
    return cleaned.rstrip("/")


def _clean_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value().strip()
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("It may hold printable ASCII characters only, and no spaces.")
    return SecretStr(text)


def basic_credentials(user: str, password: str) -> dict[str, str]:
    """The header of basic authentication (RFC 7617)."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


Address = Annotated[str, AfterValidator(clean_address)]
SecretAddress = Annotated[SecretStr, AfterValidator(_clean_secret_address)]
"""An address whose path or query is the key to the channel, as of most incoming webhooks."""
Server = Annotated[str, AfterValidator(_clean_server)]
"""Where an API begins, without a slash at its end."""
Token = Annotated[SecretStr, AfterValidator(_clean_token)]
"""A key that travels in a header or a path, where other characters would tear it apart."""
