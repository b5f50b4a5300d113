"""What a receiver's answer means when it is not that the message was taken."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from alerts.door import Answer
from alerts.errors import DeadChannelError, DeliveryError
from alerts.wording import cut, one_line

SAID_LIMIT = 200
_BUSY = (429, 503)


def refusal(
    answer: Answer,
    *,
    said: str = "",
    is_dead: bool = False,
    is_permanent: bool = False,
    retry_after: timedelta | None = None,
) -> DeliveryError:
    """The error for an answer; `said` are the receiver's own words.

    Without `is_dead` (the channel) or `is_permanent` (this message) it is tried again, and not
    before the time that the receiver asked for in `retry_after` or its header.
    """
    text = f"the receiver answered {answer.status}"
    if 300 <= answer.status < 400:
        text += "; redirects are not followed, give the final address"
    if words := cut(one_line(printable(said)), SAID_LIMIT):
        text += f": {words}"
    if is_dead:
        return DeadChannelError(text)
    if retry_after is None and answer.status in _BUSY:
        retry_after = answer.retry_after(datetime.now(UTC))
    return DeliveryError(text, is_permanent=is_permanent, retry_after=retry_after)


def printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def answered_text(answer: Answer) -> str:
    """The body of an answer that is a short plain text; nothing of a page of HTML."""
    text = answer.body.decode(errors="replace").strip()
    return "" if text.startswith("<") else text


def answered_object(answer: Answer) -> dict[str, Any]:
    """The JSON object in an answer, empty when there is none: a proxy's page is no answer."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_own_answer(answer: Answer, *statuses: int) -> bool:
    """Whether it is the API's own word that is one of these statuses.

    The page of a proxy in front of it, which says 403 or 404 for a minute, ends no channel.
    """
    return answer.status in statuses and bool(answered_object(answer))


def answered_word(answer: Answer, *names: str) -> str:
    """The first of the object's fields with these names that holds a text."""
    found = answered_object(answer)
    texts = (found.get(name) for name in names)
    return next((text for text in texts if isinstance(text, str) and text), "")
