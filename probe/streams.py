"""Byte streams for kinds that speak a protocol of their own: connect, send, receive, TLS.

Sockets and OpenSSL's memory buffers directly on the loop: a transport of asyncio's costs several
times as much per connection, and its TLS keeps up to a megabyte for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import socket
import ssl
from functools import lru_cache

from probe import certificates
from probe.net import Trouble, describe_errno, reason_of_errno
from probe.readiness import IN, OUT, readiness
from probe.values import Reason

_STAGGER_S = 0.25  # between attempts at the addresses of one name, RFC 8305 section 5
_CHUNK = 16_384
_TURN = 16  # receipts in a row


class UnverifiedError(Trouble):
    """A certificate that was not accepted: OpenSSL's code and words. The certificate itself can't
    be had from the connection that refused it."""

    def __init__(self, code: int, text: str, host: str) -> None:
        trouble = certificates.trouble_of(code, text, None, host)
        super().__init__(trouble.reason, trouble.message)
        self.code = code
        self.text = text


class Stream:
    """A socket connected to `address`, in the clear until `start_tls`. OSErrors are the caller's to
    explain."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.address = address
        self._sock = sock
        self._fd = sock.fileno()
        self._readiness = readiness()
        self._received = 0
        self._tls: ssl.SSLObject | None = None
        self._incoming: ssl.MemoryBIO
        self._outgoing: ssl.MemoryBIO

    @property
    def own_address(self) -> str:
        address: str = self._sock.getsockname()[0]
        return address.partition("%")[0]

    async def send(self, data: bytes) -> None:
        if self._tls is not None:
            try:
                self._tls.write(data)
            except ssl.SSLError as error:  # the other end has left TLS
                raise _tls_trouble(error, self.address) from None
            data = self._outgoing.read()
        await self._send(data)

    async def receive(self) -> bytes:
        """The next bytes; none when the other end has closed."""
        if self._tls is None:
            return await self._receive()
        while True:
            try:
                return self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                if not await self._feed():
                    return b""
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:  # under TLS 1.3 a refusal may come after the handshake
                raise _tls_trouble(error, self.address) from None

    async def start_tls(
        self, host: str, *, verify: bool = True, authorities: str | None = None
    ) -> None:
        """Make the TLS handshake, of whatever age. Raises Trouble where it fails.

        `authorities` (PEM) are trusted besides the system's.
        """
        host = host.removesuffix(".")  # which is no part of the name, RFC 6066 section 3
        context = client_context(verify=verify, authorities=authorities)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                if not await self._feed():
                    raise Trouble(
                        Reason.TLS_HANDSHAKE, f"{host} closed the connection in the TLS handshake."
                    ) from None
            except ssl.SSLCertVerificationError as error:
                await self._send_alert()
                raise UnverifiedError(error.verify_code, error.verify_message, host) from None
            except ssl.SSLError as error:
                await self._send_alert()
                raise _tls_trouble(error, host) from None
            else:
                await self._flush()
                return

    @property
    def certificate(self) -> bytes | None:
        """The server's certificate (DER) after a handshake."""
        return self._tls.getpeercert(binary_form=True) if self._tls else None

    @property
    def tls_version(self) -> str:
        """As 1.2 or 1.3; empty before a handshake."""
        version = self._tls.version() if self._tls else None
        if version is None:
            return ""
        return version.removeprefix("TLSv") if "." in version else "1.0"

    def close(self) -> None:
        if self._fd >= 0:
            self._readiness.forget(self._fd)
            self._fd = -1  # the number is another's from here on
            self._sock.close()

    async def _send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self._sock.send(left) :]
            except BlockingIOError:
                await self._readiness.until(self._fd, OUT)

    async def _receive(self) -> bytes:
        """The next bytes off the socket. Where they always lie ready, others must have their turn
        all the same: the loop doesn't stop to look round, nor at the clock."""
        self._received += 1
        if self._received % _TURN == 0:
            await asyncio.sleep(0)
        while True:
            try:
                return self._sock.recv(_CHUNK)
            except BlockingIOError:
                await self._readiness.until(self._fd, IN)

    async def _send_alert(self) -> None:
        """Tell the other end why a handshake failed, if it is still there."""
        with contextlib.suppress(OSError):
            await self._flush()

    async def _flush(self) -> None:
        """Send what OpenSSL has to say."""
        if data := self._outgoing.read():
            await self._send(data)

    async def _feed(self) -> bool:
        """Send what OpenSSL has to say, and give it what comes back. False at the stream's end."""
        await self._flush()
        data = await self._receive()
        self._incoming.write(data)
        return bool(data)


def _tls_trouble(error: ssl.SSLError, host: str) -> Trouble:
    detail = (error.reason or str(error)).replace("_", " ").lower()
    how = certificates.in_words(detail)
    return Trouble(Reason.TLS_HANDSHAKE, f"The TLS handshake with {host} failed: {how}.")


_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@lru_cache(maxsize=64)
def client_context(*, verify: bool, authorities: str | None) -> ssl.SSLContext:
    """Shared, because loading the system's authorities takes milliseconds.

    Old versions and weak ciphers are spoken, so that the check can say that they are what is old.
    """
    context = ssl.create_default_context(cafile=certificates.system_authorities())
    context.hostname_checks_common_name = False  # RFC 9525 section 6.3
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if authorities:
        context.load_verify_locations(cadata="\n".join(_PEM.findall(authorities)))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def connect(host: str, addresses: list[str], port: int) -> Stream:
    """Connect to whichever address answers first, tried in order. Raises Trouble, naming each."""
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    try:
        if len(addresses) == 1:
            return await _connect(addresses[0], port)
        return await _connect_any(addresses, port)
    except OSError as error:
        failures = {addresses[0]: error}
    except _AllFailedError as error:
        failures = error.failures
    raise _trouble(host, port, failures, (loop.time() - started_at) * 1000)


class _AllFailedError(Exception):
    def __init__(self, failures: dict[str, OSError]) -> None:
        super().__init__(failures)
        self.failures = failures


async def _connect(address: str, port: int) -> Stream:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    stream = Stream(sock, address)
    try:
        # by hand: the loop's own way takes each address apart again, for a tenth of a check's cost
        error = sock.connect_ex((address, port))
        if error == errno.EINPROGRESS:
            await readiness().until(sock.fileno(), OUT)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        # reset by now: it was accepted all the same, and what comes of it is for others to see
        if error and error != errno.ECONNRESET:
            raise OSError(error, os.strerror(error))
    except BaseException:
        stream.close()
        raise
    return stream


async def _connect_any(addresses: list[str], port: int) -> Stream:
    """Attempts in turn, the next when one fails or is slow; the first to connect wins."""
    attempts: dict[asyncio.Task[Stream], str] = {}
    failures: dict[str, OSError] = {}
    waiting = list(addresses)
    try:
        while waiting or attempts:
            if waiting:
                address = waiting.pop(0)
                attempts[asyncio.create_task(_connect(address, port))] = address
            done, _ = await asyncio.wait(
                attempts,
                timeout=_STAGGER_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                address = attempts.pop(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                failures[address] = error
    finally:
        for task in attempts:
            task.add_done_callback(_close_late)
            task.cancel()
    raise _AllFailedError(failures)


def _close_late(task: asyncio.Task[Stream]) -> None:
    """An attempt that connected in the moment it lost the race."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _trouble(host: str, port: int, failures: dict[str, OSError], elapsed_ms: float) -> Trouble:
    reasons = [reason_of_errno(error.errno or 0) for error in failures.values()]
    # a refusal says most: somebody is there
    reason = Reason.CONNECT_REFUSED if Reason.CONNECT_REFUSED in reasons else reasons[0]
    after = f"after {elapsed_ms:.0f} ms"
    if list(failures) == [host] and reason == Reason.CONNECT_REFUSED:
        return Trouble(reason, f"Connection to {host} port {port} was refused {after}.")
    each = ", ".join(
        f"{address}: {describe_errno(error.errno or 0)}" for address, error in failures.items()
    )
    return Trouble(reason, f"No connection to {host} port {port} {after} ({each}).")
