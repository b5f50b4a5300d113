"""Names to addresses, by c-ares on the running loop.

What c-ares brings is judged here: records count where the way of aliases from the name that was
asked leads to them. A check that fails for its name, or waits for it, is worth a second look: a
question of our own (`dns_client`) finds what c-ares doesn't tell, the rarer answers of name
servers, the alias that leads nowhere, the answer that TCP alone could give and doesn't.
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
from probe.dns_message import TYPES, Record, follow
from probe.dns_words import Wording, sentence
from probe.net import Deadline, Trouble, has_way_to
from probe.values import Reason

_FAMILIES = {"auto": socket.AF_UNSPEC, "4": socket.AF_INET, "6": socket.AF_INET6}
_TYPES = {"auto": ("A", "AAAA"), "4": ("A",), "6": ("AAAA",)}
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
_CARE = 0.9
"""The share of the rest in which it has to say so where that leads nowhere either."""

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
        if host == "localhost":
            server = None  # no business of a name server's, RFC 6761 section 6.3
        if server is None and (known := self._channel(None).look_in_hosts(host, ip_version)):
            return known
        try:
            return await self._resolve(host, _TYPES[ip_version], server, deadline)
        except pycares.AresError as error:
            code: int = error.args[0]
            if code == ares.ARES_ECONNREFUSED and server is not None:
                check_own_end(own_server(server))  # c-ares calls any failing socket refused
                await _look_closer(host, ip_version, error, server, deadline)
            if code in _WORTH_A_LOOK:
                await _look_closer(host, ip_version, error, server, deadline)
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
        self, host: str, types: tuple[str, ...], server: str | None, deadline: Deadline
    ) -> list[str]:
        try:
            return await _ask(lambda: self._channel(server), host, types, server, deadline)
        except pycares.AresError as error:
            if error.args[0] not in _SHARED_FATE:
                raise
        own = _Channel(server)
        try:
            return await _ask(lambda: own, host, types, server, deadline)
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


async def _look_closer(
    host: str,
    ip_version: str,
    error: pycares.AresError,
    server: str | None,
    deadline: Deadline,
) -> None:
    """Ask once more, by ourselves, why there is no address. Raises Trouble where that tells more
    than c-ares did."""
    record_type: str = error.args[2]
    try:
        asked = _server(server)
        brief = deadline.at_most(_CLOSER_LOOK_S)
        answer = await ask(_question(host, record_type), asked, "udp", brief)
    except OverTcpError:
        raise
    except (Trouble, UnicodeError, ValueError):
        return
    if answer.rcode == "NOERROR" and answer.values:
        return
    raise Trouble(*Wording(host, _RECORDS[ip_version], asked.title).failure(answer))


def _question(host: str, record_type: str) -> Question:
    return Question(host.removesuffix("."), TYPES[record_type], record_type)


async def _ask(
    choose_channel: Callable[[], _Channel],
    host: str,
    types: tuple[str, ...],
    server: str | None,
    deadline: Deadline,
) -> list[str]:
    """Ask until there is an answer. Raises TimeoutError at the deadline, OverTcpError where only
    that was in the way, or AresError."""
    while deadline.remaining_s > 0:
        lookup = _Lookup(host, types, server, deadline)
        try:
            return _in_order(await lookup.addresses(choose_channel()))
        except pycares.AresError as error:
            # c-ares gives up sooner than the check when it has seen faster answers
            if error.args[0] != ares.ARES_ETIMEOUT:
                raise
        except TimeoutError:
            if lookup.trouble is not None:
                raise lookup.trouble from None
            raise
    raise TimeoutError


class _Lookup:
    """A name under way to its addresses: c-ares is asked for each type of them. Where no answer has
    come after a while, the name servers are asked beside it by ourselves, because a lost datagram
    and a truncated answer look alike to c-ares: `trouble` is what was seen to be in the way.

    Some name servers never answer for AAAA: after a while one family's addresses will do.
    """

    def __init__(
        self, host: str, types: tuple[str, ...], server: str | None, deadline: Deadline
    ) -> None:
        self.trouble: OverTcpError | None = None
        self._host = host
        self._types = types
        self._server = server
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[list[str]] = self._loop.create_future()
        self._waiting = list(types)
        self._found: list[str] = []
        self._errors: list[pycares.AresError] = []
        self._is_late = False
        self._looks: list[asyncio.Task[None]] = []

    async def addresses(self, channel: _Channel) -> list[str]:
        """Raises AresError, its third argument the type that was asked for, or TimeoutError."""
        for each in self._types:
            channel.ask(self._host, each, self._take)
        if self._answer.done():
            return self._answer.result()
        patience_s = self._deadline.remaining_s * _PATIENCE
        self._timer = self._loop.call_later(patience_s, self._grow_impatient)
        try:
            return await self._answer
        finally:
            self._timer.cancel()
            for look in self._looks:
                look.cancel()

    def _take(self, record_type: str, addresses: list[str], error: int) -> None:
        """What c-ares says: addresses of one type, or an error."""
        self._waiting.remove(record_type)
        self._found += addresses
        if not addresses:
            text = pycares.errno.strerror(error)
            self._errors.append(pycares.AresError(error, text, record_type))
        if not self._waiting or (self._is_late and self._found):
            self._settle()

    def _settle(self) -> None:
        if self._answer.done():
            return
        if self._found:
            self._answer.set_result(list(dict.fromkeys(self._found)))
        else:
            # an empty answer for one type tells less than a failure for the other
            telling = (each for each in self._errors if each.args[0] != ares.ARES_ENODATA)
            self._answer.set_exception(next(telling, self._errors[0]))

    def _give_up(self) -> None:
        if not self._answer.done():
            self._answer.set_exception(TimeoutError())

    def _grow_impatient(self) -> None:
        self._is_late = True
        self._timer = self._loop.call_at(self._deadline.ends_at, self._give_up)
        if self._found:
            self._settle()
            return
        servers = system_servers() if self._server is None else [own_server(self._server)]
        self._looks = [
            self._loop.create_task(self._look(_question(self._host, each), server))
            for each in self._waiting
            for server in servers
        ]

    async def _look(self, question: Question, server: Server) -> None:
        try:
            answer = await ask(question, server, "udp", self._deadline.part(_CARE))
        except OverTcpError as trouble:
            self.trouble = trouble
        except (Trouble, UnicodeError, ValueError):
            pass
        else:
            if answer.rcode == "NOERROR" and answer.values:
                self._found += answer.values
                self._settle()


def _in_order(addresses: list[str]) -> list[str]:
    """Addresses as RFC 6724 section 6 has them tried, as far as it tells IPv6 from IPv4: global
    IPv6 first, where there is a way to it, and local IPv6 after IPv4."""
    if {":" in address for address in addresses} != {True, False}:
        return addresses
    return sorted(addresses, key=_rank)


def _rank(address: str) -> int:
    if ":" not in address:
        return 1
    if not has_way_to(address):
        return 3
    return 2 if address.startswith(_LATE_IPV6) else 0


_LATE_IPV6 = ("fc", "fd", "2002:", "2001:0:", "::ffff:")  # section 2.1: those below IPv4


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


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
        self._is_systems = server is None
        if server is None:
            self._hosts = pycares.Channel(lookups="f")
        else:
            options["servers"] = [server]
        self._ares = pycares.Channel(sock_state_cb=self._on_socket, **options)

    @property
    def is_stale(self) -> bool:
        return self._loop.time() - self._born_at > self.LIFETIME_S

    def look_in_hosts(self, host: str, ip_version: str) -> list[str]:
        """What this machine's own list, hosts(5), says; and localhost, which is in none."""
        found: list[str] = []

        def on_answer(answer: pycares.AddrInfoResult | None, _error: int | None) -> None:
            if answer is not None:
                found.extend(node.addr[0].decode() for node in answer.nodes)

        family = _FAMILIES[ip_version]
        self._hosts.getaddrinfo(
            host, None, family=family, type=socket.SOCK_STREAM, callback=on_answer
        )
        return list(dict.fromkeys(found))

    def ask(self, host: str, record_type: str, take: Callable[[str, list[str], int], None]) -> None:
        """Ask for the addresses of one type: `take` is called once with the type and them, or with
        an error of c-ares'. The system's resolvers are asked under its search domains, too."""
        is_taken = False

        def on_answer(found: pycares.DNSResult | None, error: int | None) -> None:
            nonlocal is_taken
            is_taken = True
            self._open -= 1
            if found is None:
                take(record_type, [], error or ares.ARES_EBADRESP)
            else:
                take(record_type, self._read(found, host, record_type), ares.ARES_ENODATA)
            if self._is_retired and not self._open and not self._is_closed:
                self._loop.call_soon(self.close)  # not from inside c-ares' own callback

        self._open += 1
        query = self._ares.search if self._is_systems else self._ares.query
        try:
            query(host, TYPES[record_type], callback=on_answer)
        except pycares.AresError as error:
            if not is_taken:  # it raised before it called back; it may do both
                on_answer(None, error.args[0])
        self._arm()

    def _read(self, found: pycares.DNSResult, host: str, record_type: str) -> list[str]:
        """The addresses in an answer that are those of `host`, or of what it is an alias of."""
        wanted = TYPES[record_type]
        records: list[Record] = []
        for one in found.answer:
            match one.data:
                case pycares.ARecordData(addr=text) | pycares.AAAARecordData(addr=text):
                    if one.type == wanted:
                        records.append(Record(_plain(one.name), wanted, text, one.ttl))
                case pycares.CNAMERecordData(cname=name):
                    records.append(Record(_plain(one.name), one.type, _plain(name), one.ttl))
        owners = {record.owner for record in records}
        asked = _plain(host)
        if self._is_systems and asked not in owners:  # then it was found under a search domain
            asked = next((each for each in owners if each.startswith(f"{asked}.")), asked)
        return list(follow(records, asked, wanted).values)

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
        if self._is_systems:
            self._hosts.close()
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
