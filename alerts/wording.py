"""How times, durations, reasons and events are put into words, and words cut to a limit."""

from datetime import UTC, datetime, timedelta

from probe.values import Reason

_REASONS = {
    Reason.DNS_NXDOMAIN: "name does not exist",
    Reason.DNS_SERVFAIL: "name server failed",
    Reason.DNS_REFUSED: "name server refused",
    Reason.DNS_TIMEOUT: "name server did not answer",
    Reason.DNS_NO_ANSWER: "name has no such record",
    Reason.DNS_MISMATCH: "unexpected DNS answer",
    Reason.CONNECT_REFUSED: "connection refused",
    Reason.CONNECT_TIMEOUT: "connection timed out",
    Reason.CONNECT_UNREACHABLE: "host unreachable",
    Reason.CONNECT_RESET: "connection reset",
    Reason.TLS_HANDSHAKE: "TLS handshake failed",
    Reason.TLS_EXPIRED: "certificate expired",
    Reason.TLS_NOT_YET_VALID: "certificate not yet valid",
    Reason.TLS_HOSTNAME: "certificate is for another name",
    Reason.TLS_UNTRUSTED: "certificate not trusted",
    Reason.TLS_DEPRECATED: "deprecated TLS version",
    Reason.CERT_EXPIRING: "certificate expires soon",
    Reason.TIMEOUT: "timed out",
    Reason.HTTP_STATUS: "unexpected HTTP status",
    Reason.HTTP_PROTOCOL: "malformed HTTP answer",
    Reason.REDIRECT_LOOP: "redirect loop",
    Reason.REDIRECT_LIMIT: "too many redirects",
    Reason.BODY_TOO_LARGE: "answer too large",
    Reason.ASSERTION_FAILED: "assertion failed",
    Reason.PACKET_LOSS: "packet loss",
    Reason.BANNER_MISMATCH: "unexpected answer",
    Reason.AUTH_FAILED: "login refused",
    Reason.HEARTBEAT_MISSED: "ping did not come",
    Reason.HEARTBEAT_FAILED: "job reported failure",
    Reason.DOMAIN_EXPIRED: "domain registration lapsed",
    Reason.DOMAIN_EXPIRING: "domain registration ends soon",
    Reason.MEMBERS: "members are in trouble",
    Reason.MANUAL: "set by hand",
    Reason.LATENCY: "slow",
    Reason.TARGET_FORBIDDEN: "target in a forbidden network",
    Reason.CHECK_ERROR: "check could not be made",
    Reason.LOCATION_BLIND: "location without network",
}
_COLORS = {"down": "#c62828", "degraded": "#b26a00", "recovered": "#2e7d32"}
_SIGNS = {"down": "🔴", "degraded": "🟠", "recovered": "🟢"}
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def reason_phrase(reason: str) -> str:
    """`connect_refused` -> `connection refused`; a code that is not known here stays readable."""
    return _REASONS.get(reason, reason.replace("_", " "))  # type: ignore[call-overload, no-any-return] # a StrEnum member equals its text


def duration_phrase(duration: timedelta) -> str:
    """The two largest units: `4 min 12 s`, `2 h 5 min`, `3 d`."""
    left = max(0, round(duration.total_seconds()))
    parts = []
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        parts.append((count, unit))
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    shown = [parts[0], *(part for part in parts[1:2] if part[0])]
    return " ".join(f"{count} {unit}" for count, unit in shown)


def time_phrase(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def event_color(tone: str) -> str:
    """`#rrggbb`; blue for what is neither trouble nor its end."""
    return _COLORS.get(tone, "#1565c0")


def event_sign(tone: str) -> str:
    return _SIGNS.get(tone, "🔵")


def one_line(text: str) -> str:
    return " ".join(text.split())


def cut(text: str, limit: int) -> str:
    """`text` in at most `limit` characters; an ellipsis says that something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut_bytes(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of UTF-8, cut between characters."""
    if len(text.encode()) <= limit:
        return text
    return text.encode()[: limit - len("…".encode())].decode(errors="ignore") + "…"
