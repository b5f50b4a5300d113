"""What the public reads is sent from files, before Django sees the request.

A page whose readers come all at once costs a look at a file's date each, and is there while the
database is away. What is not there, or not open to everybody, goes on to Django.
"""

from urllib.parse import urlsplit

from statuspages.documents import Answer
from statuspages.places import PublicFiles
from uptime.asgi_types import App, Message, Receive, Send

_ALSO_THERE = ("/static/", "/badge/", "/subscriptions/")


def serve_published(app: App, files: PublicFiles, *, base_url: str) -> App:
    """`app`, but with published documents answered here; and domains that show one page only."""
    base = urlsplit(base_url)
    base_host = base.netloc.encode()

    async def served(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        path = scope["path"]
        host = headers.get(b"host", b"").decode("latin-1").lower().split(":")[0].rstrip(".")
        name = files.hosts.get(host)
        if name is not None and host != base.hostname:
            page = f"/status/{name}"
            if path == "/":
                path = f"{page}/"
            elif path != page and not path.startswith((f"{page}/", f"{page}.", *_ALSO_THERE)):
                await _send(send, _nothing_here(), with_body=True)
                return
            # Django answers to the installation's own name.
            others = [pair for pair in scope["headers"] if pair[0] != b"host"]
            scope = {
                **scope,
                "path": path,
                "raw_path": path.encode(),
                "headers": [*others, (b"host", base_host)],
            }
        if scope["method"] in ("GET", "HEAD") and path.startswith(("/status/", "/badge/")):
            place = files.locate(path)
            published = place.read() if place else None
            if published is not None:
                answer = published.answer(
                    accept_encoding=headers.get(b"accept-encoding", b"").decode("latin-1"),
                    if_none_match=headers.get(b"if-none-match", b"").decode("latin-1"),
                )
                await _send(send, answer, with_body=scope["method"] == "GET")
                return
        await app(scope, receive, send)

    return served


def _nothing_here() -> Answer:
    body = b"There is nothing at this address.\n"
    size = str(len(body)).encode()
    return Answer(404, [(b"content-type", b"text/plain"), (b"content-length", size)], body)


async def _send(send: Send, answer: Answer, *, with_body: bool) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})
