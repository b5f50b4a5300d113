"""Files that a browser takes away, written while they are sent."""

import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def stream_file(
    request: HttpRequest, chunks: Iterator[bytes], *, name: str, content_type: str
) -> StreamingHttpResponse:
    content = _in_thread(chunks) if isinstance(request, ASGIRequest) else chunks
    return StreamingHttpResponse(
        content,
        content_type=f"{content_type}; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "private, no-store",
        },
    )


async def _in_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each chunk made in the request's own thread: the event loop waits for no database."""
    while chunk := await sync_to_async(lambda: next(chunks, b""))():
        yield chunk


def csv_rows(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """A value as a spreadsheet takes it: a text of a server's is never a formula."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def json_list(
    batches: Iterator[list[str]], *, before: str = "[", after: str = "]"
) -> Iterator[bytes]:
    """A list of JSON texts, `before` and `after` around it."""
    yield before.encode()
    is_first = True
    for batch in batches:
        text = ",\n".join(batch)
        yield (text if is_first else f",\n{text}").encode()
        is_first = False
    yield f"{after}\n".encode()
