"""Conducts for `tests.servers.raw`: mail servers as scripts of what they say to what they hear.

mail("220 mail.example ESMTP", {"EHLO": "250-mail.example\r\n250 AUTH PLAIN"})
"""

import ssl
from collections.abc import Mapping

from tests.servers.raw import Conduct, Connection

SMTP_GREETING = "220 mail.example ESMTP ready"
IMAP_GREETING = "* OK IMAP4rev2 ready"
POP3_GREETING = "+OK POP3 ready"


def mail(
    greeting: str,
    answers: Mapping[str, str] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    heard: list[str] | None = None,
) -> Conduct:
    """Greet, then answer each line by its first words; what is not known ends the connection.

    With `tls` a line that asks for it (STARTTLS, STLS) is answered and the handshake follows.
    """
    known = dict(answers or {})

    async def conduct(connection: Connection) -> None:
        await connection.send(f"{greeting}\r\n".encode())
        while line := (await connection.reader.readline()).decode().rstrip("\r\n"):
            if heard is not None:
                heard.append(line)
            start = next((words for words in known if line.startswith(words)), None)
            if start is None:
                return
            await connection.send(f"{known[start]}\r\n".encode())
            if tls is not None and line.upper().endswith(("STARTTLS", "STLS")):
                await connection.start_tls(tls)

    return conduct


def smtp(
    *, tls: ssl.SSLContext | None = None, heard: list[str] | None = None, **answers: str
) -> Conduct:
    """A good SMTP server, but for the answers given."""
    usual = {
        "EHLO": "250-mail.example\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS",
        "STARTTLS": "220 go ahead",
        "AUTH": "235 welcome",
    }
    return mail(SMTP_GREETING, usual | answers, tls=tls, heard=heard)


def imap(
    *, tls: ssl.SSLContext | None = None, heard: list[str] | None = None, **answers: str
) -> Conduct:
    usual = {
        "a1 STARTTLS": "a1 OK go ahead",
        "b1 LOGIN": "+ go on",
        "ana {": "+ go on",
        "secret": "b1 OK welcome",
    }
    return mail(IMAP_GREETING, usual | answers, tls=tls, heard=heard)


def pop3(
    *, tls: ssl.SSLContext | None = None, heard: list[str] | None = None, **answers: str
) -> Conduct:
    usual = {"STLS": "+OK go ahead", "USER": "+OK", "PASS": "+OK welcome"}
    return mail(POP3_GREETING, usual | answers, tls=tls, heard=heard)
