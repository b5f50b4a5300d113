"""Names to addresses, by c-ares on the running loop.

A check that fails for its name is worth a second look: a question of our own (`dns_client`) finds
what c-ares doesn't tell, the rarer answers of name servers and the alias that leads nowhere.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pycares
import pycares.errno as ares

from probe.dns_client import (
    OverTcpError,
    Question,
    Server,
    ask,
    check_own_end,
    own_server,
    system_servers,
)
from probe.dns_message import TYPES
from probe.dns_words import Wording, sentence
from probe.net import Deadline, Trouble
from probe.values import Reason

_FAMILIES = {"auto": socket.AF_UNSPEC, "4": socket.AF_INET, "6": socket.AF_INET6}
_DNS_TROUBLE = {
    ares.ARES_ENOTFOUND: (Reason.DNS_NXDOMAIN, "{host} does not exist (NXDOMAIN from {server})."),
    ares.ARES_ESERVFAIL: (Reason.DNS_SERVFAIL, "{server} failed to resolve {host} (SERVFAIL)."),
    ares.ARES_EREFUSED: (Reason.DNS_REFUSED, "{server} refused to resolve {host} (REFUSED)."),
    ares.ARES_ENODATA: (Reason.DNS_NO_ANSWER, "{host} has no {records} record ({server})."),
    ares.ARES_ECONNREFUSED: (
        Reason.DNS_REFUSED,
        "{server} can't be reached to resolve {host}: connection refused.",
    ),
    ares.ARES_ENOTIMP: (Reason.DNS_REFUSED, "{server} doesn't answer such queries (NOTIMP)."),
    ares.ARES_EFORMERR: (Reason.DNS_SERVFAIL, "{server} can't read the query (FORMERR)."),
    ares.ARES_EBADRESP: (Reason.DNS_SERVFAIL, "{server} gave a malformed answer for {host}."),
    ares.ARES_EBADNAME: (Reason.DNS_NXDOMAIN, "{host} is not a name that DNS can hold."),
}
_RECORDS = {"auto": "A or AAAA", "4": "A", "6": "AAAA"}
_PATIENCE = 0.25
"""The share of the time after which a name server that has not answered is asked once more."""

_WORTH_A_LOOK = {
    ares.ARES_ENODATA,
    ares.ARES_ENOTFOUND,
    ares.ARES_ESERVFAIL,
    ares.ARES_EREFUSED,
    ares.ARES_ENOTIMP,
    ares.ARES_EFORMERR,
}
_CLOSER_LOOK_S = 0.5

_SHARED_FATE = {ares.ARES_EBADRESP, ares.ARES_ECONNREFUSED}
"""What c-ares says to all who wait on one socket when one of them is answered with rubbish."""


class Resolver:
    """Names to addresses, through the system's resolvers or one of the check's own."""

    def __init__(self) -> None:
        self._channels: dict[str | None, _Channel] = {}

    async def resolve(
        self, host: str, *, ip_version: str, server: str | None, deadline: Deadline
    ) -> list[str]:
        """The addresses of `host`, in the order to try them (RFC 6724). Raises Trouble."""
        family = _FAMILIES[ip_version]
        if host == "localhost":
            server = None  # no business of a name server's, RFC 6761 section 6.3
        try:
            return await self._resolve(host, family, server, deadline)
        except pycares.AresError as error:
            code: int = error.args[0]
            if code == ares.ARES_ECONNREFUSED and server is not None:
                check_own_end(own_server(server))  # c-ares calls any failing socket refused
                await _look_closer(host, ip_version, server, deadline)
            if code in _WORTH_A_LOOK:
                await _look_closer(host, ip_version, server, deadline)
            raise self._trouble(code, host, ip_version, server) from None
        except TimeoutError:
            check_own_end(_server(server))  # c-ares waits for a free port as for an answer
            raise Trouble(
                Reason.DNS_TIMEOUT,
                sentence(
                    f"{_name(server)} did not answer for {host} within {deadline.timeout_s:g} s."
                ),
            ) from None

    async def _resolve(
        self, host: str, family: socket.AddressFamily, server: str | None, deadline: Deadline
    ) -> list[str]:
        try:
            return await _ask(lambda: self._channel(server), host, family, deadline)
        except pycares.AresError as error:
            if error.args[0] not in _SHARED_FATE:
                raise
        own = _Channel(server)
        try:
            return await _ask(lambda: own, host, family, deadline)
        finally:
            own.retire()

    def _channel(self, server: str | None) -> _Channel:
        channel = self._channels.get(server)
        if channel is None or channel.is_stale:
            self._retire_stale()
            channel = self._channels[server] = _Channel(server)
        return channel

    def _retire_stale(self) -> None:
        for server, channel in list(self._channels.items()):
            if channel.is_stale:
                channel.retire()
                del self._channels[server]

    def _trouble(self, code: int, host: str, ip_version: str, server: str | None) -> Trouble:
        reason, text = _DNS_TROUBLE.get(
            code, (Reason.CHECK_ERROR, f"Resolving {{host}} failed with error {code} of c-ares.")
        )
        if server is None and code == ares.ARES_ECONNREFUSED:
            reason = Reason.CHECK_ERROR  # nobody is there on our side
        message = text.format(host=host, server=_name(server), records=_RECORDS[ip_version])
        return Trouble(reason, sentence(message))

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()


def _server(server: str | None) -> Server:
    return system_servers()[0] if server is None else own_server(server)


def _name(server: str | None) -> str:
    return f"the resolver {server}" if server else "the system's resolver"


async def _look_closer(host: str, ip_version: str, server: str | None, deadline: Deadline) -> None:
    """Ask once more, by ourselves, why there is no address. Raises Trouble where that tells more
    than c-ares did."""
    record_type = _RECORDS[ip_version].split()[0]
    try:
        asked = _server(server)
        question = Question(host.removesuffix("."), TYPES[record_type], record_type)
        brief = deadline.at_most(_CLOSER_LOOK_S)
        answer = await ask(question, asked, "udp", brief)
    except OverTcpError:
        raise
    except (Trouble, UnicodeError, ValueError):
        return
    if answer.rcode == "NOERROR" and answer.values:
        return
    raise Trouble(*Wording(host, _RECORDS[ip_version], asked.title).failure(answer))


async def _ask(
    choose_channel: Callable[[], _Channel],
    host: str,
    family: socket.AddressFamily,
    deadline: Deadline,
) -> list[str]:
    """Ask until there is an answer. Raises TimeoutError at the deadline, or AresError."""
    while (remaining_s := deadline.remaining_s) > 0:
        try:
            async with asyncio.timeout(remaining_s):
                return await _look_up(choose_channel(), host, family, remaining_s * _PATIENCE)
        except pycares.AresError as error:
            # c-ares gives up sooner than the check when it has seen faster answers
            if error.args[0] != ares.ARES_ETIMEOUT:
                raise
    raise TimeoutError


async def _look_up(
    channel: _Channel, host: str, family: socket.AddressFamily, patience_s: float
) -> list[str]:
    """Ask; where no answer has come after a while, ask again beside it, each family by itself.

    A datagram may have been lost, and some name servers never answer for AAAA: one family's
    addresses will do then. Raises AresError.
    """
    first = channel.lookup(host, family)
    lookups = [first]
    try:
        await asyncio.wait(lookups, timeout=patience_s)
        if not first.done():
            both = (socket.AF_INET, socket.AF_INET6)
            families = both if family == socket.AF_UNSPEC else (family,)
            lookups += (channel.lookup(host, each) for each in families)
        while not first.done():
            done, _ = await asyncio.wait(lookups, return_when=asyncio.FIRST_COMPLETED)
            failed = [each for each in done if each.exception() is not None]
            if answered := done.difference(failed):
                return answered.pop().result()
            lookups = [each for each in lookups if each not in failed]
        return first.result()
    finally:
        for each in lookups:
            each.cancel()


class _Channel:
    """A c-ares channel on the running loop.

    c-ares remembers answers and failing servers for as long as a channel lives, and has no switch
    for it here. A monitor must see the change, so a channel serves for a second and then retires.
    """

    LIFETIME_S = 1.0

    def __init__(self, server: str | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._born_at = self._loop.time()
        self._open = 0
        self._is_retired = False
        self._is_closed = False
        self._readers: set[int] = set()
        self._writers: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        options: dict[str, Any] = {"timeout": 2.0, "tries": 4}
        if server is not None:
            # the server's own answer: no hosts file, no search domains
            options |= {"servers": [server], "lookups": "b", "domains": []}
        self._ares = pycares.Channel(sock_state_cb=self._on_socket, **options)

    @property
    def is_stale(self) -> bool:
        return self._loop.time() - self._born_at > self.LIFETIME_S

    def lookup(self, host: str, family: socket.AddressFamily) -> asyncio.Future[list[str]]:
        future: asyncio.Future[list[str]] = self._loop.create_future()

        def on_answer(found: pycares.AddrInfoResult | None, error: int | None) -> None:
            self._open -= 1
            if not future.done():
                if error is not None:
                    future.set_exception(pycares.AresError(error, pycares.errno.strerror(error)))
                else:
                    assert found is not None
                    addresses = (node.addr[0].decode() for node in found.nodes)
                    future.set_result(list(dict.fromkeys(addresses)))
            if self._is_retired and not self._open and not self._is_closed:
                self._loop.call_soon(self.close)  # not from inside c-ares' own callback

        self._open += 1
        try:
            self._ares.getaddrinfo(
                host, None, family=family, type=socket.SOCK_STREAM, callback=on_answer
            )
        except pycares.AresError as error:
            if not future.done():  # it raised before it called back; it may do both
                self._open -= 1
                future.set_exception(error)
        self._arm()
        return future

    def retire(self) -> None:
        """Take no more questions; close when those under way have their answers."""
        self._is_retired = True
        if not self._open:
            self.close()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for fd in self._readers:
            self._loop.remove_reader(fd)
        for fd in self._writers:
            self._loop.remove_writer(fd)
        self._readers.clear()
        self._writers.clear()
        self._is_closed = True
        self._ares.cancel()  # here rather than in the thread that takes the channel apart
        self._ares.close()

    def _on_socket(self, fd: int, readable: bool, writable: bool) -> None:
        if self._is_closed:
            return
        if readable:
            self._readers.add(fd)
            self._loop.add_reader(fd, self._process, fd, pycares.ARES_SOCKET_BAD)
        elif fd in self._readers:
            self._readers.remove(fd)
            self._loop.remove_reader(fd)
        if writable:
            self._writers.add(fd)
            self._loop.add_writer(fd, self._process, pycares.ARES_SOCKET_BAD, fd)
        elif fd in self._writers:
            self._writers.remove(fd)
            self._loop.remove_writer(fd)

    def _process(self, read_fd: int, write_fd: int) -> None:
        self._ares.process_fd(read_fd, write_fd)
        self._arm()

    def _on_timer(self) -> None:
        self._timer = None
        self._process(pycares.ARES_SOCKET_BAD, pycares.ARES_SOCKET_BAD)

    def _arm(self) -> None:
        """Wake when c-ares wants to send again. A wake-up too early does no harm, so keep it."""
        if self._timer is None and self._open:
            wait_s: float = self._ares.timeout()  # type: ignore[no-untyped-call]
            self._timer = self._loop.call_later(max(wait_s, 0.01), self._on_timer)
