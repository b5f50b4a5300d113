"""Whether a page's own domain leads here, and what to set in DNS where it does not."""

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import dns.exception
import dns.resolver
from django.conf import settings

PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class DomainCheck:
    """`record` is the line to set; `found` says where the domain leads now, if anywhere."""

    domain: str
    target: str
    leads_here: bool
    found: str

    @property
    def record(self) -> str:
        return f"{self.domain}. CNAME {self.target}."


def examine_domain(domain: str) -> DomainCheck:
    """Look the domain up now; takes `PATIENCE_S` at most, and never raises."""
    target = urlsplit(settings.BASE_URL).hostname or "localhost"
    alias = _alias_of(domain)
    if alias == target:
        return DomainCheck(domain, target, leads_here=True, found=alias)
    ours, theirs = _addresses_of(target), _addresses_of(domain)
    found = alias or ", ".join(sorted(theirs))
    return DomainCheck(domain, target, leads_here=bool(theirs and theirs <= ours), found=found)


def _alias_of(domain: str) -> str:
    resolver = dns.resolver.Resolver()
    resolver.lifetime = PATIENCE_S / 3
    try:
        answer = resolver.resolve(domain, "CNAME")
    except (dns.exception.DNSException, OSError):
        return ""
    return str(answer[0].target).rstrip(".").lower()


def _addresses_of(name: str) -> set[str]:
    resolver = dns.resolver.Resolver()
    resolver.lifetime = PATIENCE_S / 3
    try:
        return set(resolver.resolve_name(name).addresses())
    except (dns.exception.DNSException, OSError, socket.gaierror):
        return set()
