"""`Idempotency-Key`: a write that is sent again is answered again, not done again.

What the request does and the record of its answer commit in one transaction, so a crash leaves
neither or both. The row of the key is the lock: whoever finds it held knows that the first request
still runs; whoever finds it free but without an answer knows that the first one died, and takes
over. Answers are kept encrypted, for they may hold a secret that is shown once.
"""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from pydantic_core import to_jsonable_python
from rest_framework.response import Response

from accounts.models import IdempotentRequest, Team
from uptime import secrets
from uptime.api.errors import Refused, malformed

REMEMBERED_FOR = timedelta(hours=24)

# Of an answer's headers, what belongs to what it says.
_TELLING = ("Location",)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def fingerprint_of(method: str, path: str, values: Any) -> str:
    """What tells one request from another: the order of fields and white space do not count."""
    text = json.dumps([method, path, values], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def answer_once(
    *, team: Team, key: str, fingerprint: str, perform: Callable[[], Response]
) -> Response:
    """`perform`'s answer, or the one that the same request with this key got before.

    `perform` runs in a transaction and returns its errors as answers, having undone its changes.
    Raises `Refused`: 400 for a key of a wrong form, 409 when it was used for something else or its
    first request is still running.
    """
    if not _KEY.fullmatch(key):
        raise malformed("An Idempotency-Key has 1 to 255 printable ASCII characters, no spaces.")
    now = timezone.now()
    mine = IdempotentRequest.objects.filter(team=team, key=key)
    mine.filter(created_at__lte=now - REMEMBERED_FOR).delete()
    mine.get_or_create(defaults={"team": team, "key": key, "fingerprint": fingerprint})
    with transaction.atomic():
        record = mine.select_for_update(skip_locked=True).first()
        if record is None:
            raise Refused(
                409,
                "request_in_progress",
                "The first request with this Idempotency-Key is still running.",
                retry_after=1,
            )
        if record.fingerprint != fingerprint:
            raise Refused(
                409,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another request.",
            )
        if record.status is not None:
            kept = secrets.decrypt(str(record.body))
            return Response(
                kept["answer"],
                status=record.status,
                headers={**kept.get("headers", {}), "Idempotent-Replayed": "true"},
            )
        response = perform()
        record.status = response.status_code
        headers = {name: response.headers[name] for name in _TELLING if name in response.headers}
        answer = to_jsonable_python(response.data)
        record.body = secrets.encrypt({"answer": answer, "headers": headers})
        record.save(update_fields=["status", "body"])
        return response
