"""What a name server's failure amounts to: its reason, and the sentence that tells of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probe.dns_message import Answer
from probe.values import Reason

if TYPE_CHECKING:
    from dns.edns import EDEOption

_SHOWN_ERRORS = 3
_SHOWN_CHARACTERS = 150
_ACRONYMS = {"DNSKEY", "DS", "DNSSEC", "RRSIGS", "NSEC", "NXDOMAIN"}

_FAILURES = {
    "NXDOMAIN": (Reason.DNS_NXDOMAIN, "{name} does not exist (NXDOMAIN from {server})"),
    "SERVFAIL": (Reason.DNS_SERVFAIL, "{server} failed to resolve {name} (SERVFAIL)"),
    "REFUSED": (Reason.DNS_REFUSED, "{server} refused to resolve {name} (REFUSED)"),
    "NOTAUTH": (Reason.DNS_REFUSED, "{server} refused to resolve {name} (NOTAUTH)"),
    "NOTIMP": (Reason.DNS_REFUSED, "{server} doesn't answer such queries (NOTIMP)"),
    "BADVERS": (
        Reason.DNS_SERVFAIL,
        "{server} speaks no version of EDNS that the query for {name} could be in (BADVERS)",
    ),
    "FORMERR": (Reason.DNS_SERVFAIL, "{server} can't read the query for {name} (FORMERR)"),
}


@dataclass(frozen=True, slots=True)
class Wording:
    """Who was asked for what; `server` as in the middle of a sentence."""

    name: str
    records: str
    server: str

    def failure(self, answer: Answer) -> tuple[Reason, str]:
        """Of an answer that is a failure, or has no records of the type."""
        instead = _instead(answer.strays)
        if answer.rcode != "NOERROR":
            reason, text = self._rcode(answer)
        elif answer.loops:
            way = " → ".join([self.name, *answer.aliases][:6])
            reason = Reason.DNS_NO_ANSWER
            text = f"{self.name} is an alias that leads in a circle: {way} ({self.server})"
        elif answer.aliases:
            reason = Reason.DNS_NO_ANSWER
            text = (
                f"{self.name} is an alias of {answer.aliases[-1]}, for which {self.server} gives"
                f" no {self.records} record{instead and f' (it{instead})'}"
            )
        else:
            reason = Reason.DNS_NO_ANSWER
            text = f"{self.name} has no {self.records} record ({self.server}{instead})"
        return reason, sentence(f"{text}{_in_the_servers_words(answer)}.")

    def _rcode(self, answer: Answer) -> tuple[Reason, str]:
        if answer.rcode == "NXDOMAIN" and answer.aliases:
            return (
                Reason.DNS_NXDOMAIN,
                f"{self.name} is an alias of {answer.aliases[-1]}, which does not exist (NXDOMAIN"
                f" from {self.server})",
            )
        rare = (Reason.DNS_SERVFAIL, "{server} failed to resolve {name} (" + answer.rcode + ")")
        reason, text = _FAILURES.get(answer.rcode, rare)
        return reason, text.format(name=self.name, server=self.server)


def _instead(strays: tuple[str, ...]) -> str:
    """What came for what was asked."""
    return f" answers for {', '.join(strays[:_SHOWN_ERRORS])} instead" if strays else ""


def _in_the_servers_words(answer: Answer) -> str:
    """Why it failed, as some servers tell beside the rcode (RFC 8914): a bogus signature, a blocked
    name, an authority that can't be reached."""
    if not answer.failure:
        return ""
    import dns.exception
    import dns.message
    from dns.edns import EDEOption

    try:
        options = dns.message.from_wire(answer.failure, ignore_trailing=True).options
    except (dns.exception.DNSException, ValueError, IndexError, struct.error):
        return ""
    errors = [option for option in options if isinstance(option, EDEOption)]
    told = [_told(error) for error in errors[:_SHOWN_ERRORS]]
    return f": {'; '.join(told)}" if told else ""


def _told(error: EDEOption) -> str:
    from dns.edns import EDECode

    words = EDECode.to_text(error.code).split("_")
    what = " ".join(word if word in _ACRONYMS else word.lower() for word in words)
    what = f"error {what}" if what.isdigit() else what
    text = "".join(char if char.isprintable() else " " for char in error.text or "").strip()
    return ", ".join(filter(None, (what, text[:_SHOWN_CHARACTERS])))


def sentence(text: str) -> str:
    """A text that may begin with the title of a server; names keep their letters."""
    return f"The{text[3:]}" if text.startswith("the ") else text
