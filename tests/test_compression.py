"""What travels compressed, and what must not."""

import gzip

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import Client, RequestFactory
from django.urls import reverse

from uptime.compression import CompressionMiddleware

LONG = "The same again. " * 100


@pytest.mark.django_db
def test_a_page_travels_gzipped_to_a_browser_that_takes_it() -> None:
    address = reverse("login")
    plain = Client().get(address)
    assert "Content-Encoding" not in plain.headers
    packed = Client().get(address, headers={"Accept-Encoding": "gzip, br"})
    assert packed["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed["Vary"]
    assert len(packed.content) < len(plain.content)
    assert b"</html>" in gzip.decompress(packed.content)


@pytest.mark.parametrize(
    ("answer", "is_packed"),
    [
        (HttpResponse(LONG), True),
        (HttpResponse(LONG, content_type="application/json"), True),
        (StreamingHttpResponse([LONG], content_type="text/csv"), True),
        (StreamingHttpResponse([LONG], content_type="text/event-stream"), False),
        (HttpResponse("Short."), False),
    ],
)
def test_events_are_not_held_back_to_be_packed(answer: HttpResponseBase, is_packed: bool) -> None:
    request = RequestFactory().get("/", headers={"Accept-Encoding": "gzip"})
    seen = CompressionMiddleware(lambda _: answer).process_response(request, answer)
    assert ("Content-Encoding" in seen.headers) is is_packed
