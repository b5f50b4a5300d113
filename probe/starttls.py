"""From the clear to TLS: what each protocol says before the handshake (STARTTLS).

    reader = LineReader(stream, "mail.example port 25")
    await ask_for_tls("smtp", reader)
    # from here on the stream carries the TLS handshake

The texts that a server may say are bounded; what it should not say is Trouble that quotes it.
"""

from __future__ import annotations

import json
import re
import socket
from typing import Literal
from typing import Protocol as TypingProtocol

from probe.net import Trouble
from probe.values import Reason

StartTls = Literal["none", "smtp", "imap", "pop3", "ftp", "postgres"]
"""The protocols whose way to TLS is known; `none` speaks TLS from the first byte."""

MAX_SAID_BYTES = 65_536
"""How much a server may say before TLS."""

_MAX_SHOWN = 120
_CODE = re.compile(r"[1-5]\d\d", re.ASCII)
_FULL_NAME = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z][a-z0-9-]+", re.ASCII | re.IGNORECASE)
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # PostgreSQL's, length 8, code 80877103


class ByteStream(TypingProtocol):
    @property
    def own_address(self) -> str:
        """Where it comes from, an IP address."""

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes:
        """The next bytes; none when the other end has closed."""


class LineReader:
    """Lines of a text protocol, out of a stream of bytes.

    `place` names the server in messages, `first_line` is what it greeted with. Raises Trouble
    (banner_mismatch) where the server closes too early or says more than MAX_SAID_BYTES.
    """

    def __init__(self, stream: ByteStream, place: str) -> None:
        self.stream = stream
        self.place = place
        self.first_line = ""
        self._last_line = ""
        self._buffer = bytearray()
        self._count = 0

    @property
    def unread(self) -> bytes:
        """What came but was not asked for yet."""
        return bytes(self._buffer)

    async def send(self, line: str) -> None:
        await self.stream.send(f"{line}\r\n".encode())

    async def line(self) -> str:
        """The next line, without its end."""
        while (end := self._buffer.find(b"\n")) < 0:
            await self._fill()
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        text = line.decode("utf-8", "backslashreplace")
        self.first_line = self.first_line or text
        self._last_line = text
        return text

    async def byte(self) -> bytes:
        while not self._buffer:
            await self._fill()
        byte = bytes(self._buffer[:1])
        del self._buffer[:1]
        return byte

    async def reply(self) -> tuple[int, list[str]]:
        """A reply of SMTP or FTP (RFC 5321 section 4.2.1, RFC 959 section 4.2).

        The code and the lines without it. Trouble where the first line has no code.
        """
        first = await self.line()
        code = first[:3]
        if not (_CODE.fullmatch(code) and first[3:4] in ("", " ", "-")):
            raise self.mismatch("a reply with a three-digit code", first)
        lines, last = [first[4:]], first
        while last[3:4] == "-" or not last.startswith(code):
            last = await self.line()
            lines.append(last[4:] if last.startswith(code) else last)
        return int(code), lines

    async def ehlo(self) -> list[str]:
        """What an SMTP server offers, its own name first."""
        await self.send(f"EHLO {own_name(self.stream.own_address)}")
        code, lines = await self.reply()
        if code != 250:
            raise self.mismatch("code 250 to EHLO", f"{code} {lines[0]}")
        return lines

    def mismatch(self, expected: str, got: str) -> Trouble:
        return Trouble(
            Reason.BANNER_MISMATCH, f"Expected {expected} from {self.place}, got {shown(got)}."
        )

    def refusal(self, got: str) -> Trouble:
        return Trouble(
            Reason.TLS_HANDSHAKE, f"{self.place} does not go over to TLS: it said {shown(got)}."
        )

    async def _fill(self) -> None:
        data = await self.stream.receive()
        if not data:
            last = self._buffer.decode("utf-8", "backslashreplace") or self._last_line
            said = f"after {shown(last)}" if last else "without a word"
            raise Trouble(Reason.BANNER_MISMATCH, f"{self.place} closed the connection {said}.")
        self._buffer += data
        self._count += len(data)
        if self._count > MAX_SAID_BYTES:
            raise Trouble(
                Reason.BANNER_MISMATCH,
                f"{self.place} said more than {MAX_SAID_BYTES} bytes before it was asked anything"
                " else.",
            )


def own_name(address: str) -> str:
    """What a client calls itself (RFC 5321 section 4.1.3): the machine's name where it is a full
    one, else its address. A strict server refuses a name without a domain."""
    name = socket.gethostname()
    if _FULL_NAME.fullmatch(name) and not name.endswith((".localdomain", ".local")):
        return name
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def shown(text: str) -> str:
    """What a server said, quoted and cut for a message."""
    cut = text[:_MAX_SHOWN]
    return json.dumps(cut, ensure_ascii=False) + ("…" if len(text) > _MAX_SHOWN else "")


async def ask_for_tls(protocol: StartTls, reader: LineReader) -> None:
    """Talk until the server waits for a TLS handshake.

    Raises Trouble: banner_mismatch where the server doesn't speak the protocol, tls_handshake where
    it offers or grants no TLS; OSError where the connection breaks.
    """
    match protocol:
        case "none":
            return
        case "smtp":
            await _ask_smtp(reader)
        case "imap":
            await _ask_imap(reader)
        case "pop3":
            await _ask_pop3(reader)
        case "ftp":
            await _ask_ftp(reader)
        case "postgres":
            await _ask_postgres(reader)
    if reader.unread:
        # bytes smuggled in before the handshake would be taken for protected ones
        raise Trouble(
            Reason.TLS_HANDSHAKE, f"{reader.place} went on in the clear after agreeing to TLS."
        )


async def _ask_smtp(reader: LineReader) -> None:
    """RFC 3207."""
    await _expect_reply(reader, 220, "a greeting with code 220")
    offers = await reader.ehlo()
    if not any(line.strip().upper() == "STARTTLS" for line in offers[1:]):
        raise Trouble(Reason.TLS_HANDSHAKE, f"{reader.place} offers no STARTTLS.")
    await reader.send("STARTTLS")
    code, lines = await reader.reply()
    if code != 220:
        raise reader.refusal(f"{code} {lines[0]}")


async def _ask_imap(reader: LineReader) -> None:
    """RFC 9051 section 6.2.1."""
    greeting = await reader.line()
    if not greeting.upper().startswith(("* OK", "* PREAUTH")):
        raise reader.mismatch("a greeting of IMAP", greeting)
    await reader.send("a1 STARTTLS")
    line = await reader.line()
    while line.startswith("*"):
        line = await reader.line()
    if not line.upper().startswith("A1 OK"):
        raise reader.refusal(line)


async def _ask_pop3(reader: LineReader) -> None:
    """RFC 2595 section 4."""
    greeting = await reader.line()
    if not greeting.startswith("+OK"):
        raise reader.mismatch("a greeting of POP3", greeting)
    await reader.send("STLS")
    line = await reader.line()
    if not line.startswith("+OK"):
        raise reader.refusal(line)


async def _ask_ftp(reader: LineReader) -> None:
    """RFC 4217 section 4."""
    await _expect_reply(reader, 220, "a greeting with code 220")
    await reader.send("AUTH TLS")
    code, lines = await reader.reply()
    if code != 234:
        raise reader.refusal(f"{code} {lines[0]}")


async def _ask_postgres(reader: LineReader) -> None:
    """PostgreSQL's frontend/backend protocol, SSLRequest: one byte answers, S or N."""
    await reader.stream.send(_SSL_REQUEST)
    answer = await reader.byte()
    if answer == b"N":
        raise Trouble(Reason.TLS_HANDSHAKE, f"{reader.place} is set up without TLS.")
    if answer != b"S":
        said = (answer + reader.unread).decode("utf-8", "backslashreplace")
        raise reader.mismatch("PostgreSQL's S or N", said)


async def _expect_reply(reader: LineReader, wanted: int, expected: str) -> None:
    code, lines = await reader.reply()
    if code != wanted:
        raise reader.mismatch(expected, f"{code} {lines[0]}")
