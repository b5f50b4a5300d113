"""The ASGI application: published files, then Django behind a limit for request bodies."""

import json
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "uptime.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

from statuspages.places import PublicFiles
from uptime.asgi_types import App, Message, Receive, Send
from uptime.public_files import serve_published

MAX_BODY_BYTES = 10_000_000


class BodyTooLarge(Exception):
    """The body that arrives is longer than any that the product takes."""


def limit_body(app: App, max_bytes: int) -> App:
    """`app`, but a request with a longer body is answered 413 before it is read to its end.

    Django takes in a whole body before it asks any view, so this can't be left to the views.
    """

    async def limited(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > max_bytes:
            await _refuse(send, max_bytes)
            return
        taken_bytes = 0

        async def receive_counted() -> Message:
            nonlocal taken_bytes
            message = await receive()
            taken_bytes += len(message.get("body", b""))
            if taken_bytes > max_bytes:
                raise BodyTooLarge
            return message

        try:
            await app(scope, receive_counted, send)
        except BodyTooLarge:
            await _refuse(send, max_bytes)

    return limited


async def _refuse(send: Send, max_bytes: int) -> None:
    message = f"The request's body is longer than {max_bytes} bytes."
    body = json.dumps({"error": {"code": "too_large", "message": message, "fields": {}}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})


application = serve_published(
    limit_body(get_asgi_application(), MAX_BODY_BYTES),
    PublicFiles(settings.DATA_DIR),
    base_url=settings.BASE_URL,
)
