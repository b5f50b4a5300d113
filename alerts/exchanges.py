"""What went to and fro in one attempt, as the delivery's log keeps it: cut, and without secrets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alerts.wording import cut
from uptime.secrets import MASK

SENT_LIMIT = 2000
ANSWER_LIMIT = 1000
# All others are masked: a header's value may be a key, whatever it is called.
_SHOWN_HEADERS = {
    "content-type",
    "user-agent",
    "x-uptime-event-id",
    "x-uptime-signature",
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer; without a `status` there was none, and `answer` says why.

    For what is not HTTP `method` names the protocol and `url` the receiver.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    sent: str
    status: int | None
    answer: str

    def as_json(self, mask: Callable[[str], str]) -> dict[str, Any]:
        """`mask` takes the channel's secrets out of a text; it sees each one whole."""
        return {
            "method": self.method,
            "url": cut(mask(self.url), SENT_LIMIT),
            "headers": {name: _shown(name, mask(value)) for name, value in self.headers.items()},
            "sent": cut(mask(self.sent), SENT_LIMIT),
            "status": self.status,
            "answer": cut(mask(self.answer), ANSWER_LIMIT),
        }


def _shown(name: str, value: str) -> str:
    return value if name.lower() in _SHOWN_HEADERS else MASK
