"""Pages and answers travel gzipped; streams of events do not, for each must arrive at once.

Django's middleware pads each answer by a random length, so that its size tells nothing of secrets
in it (BREACH). Published status pages are not made here: they are compressed when they are written.
"""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware


class CompressionMiddleware(GZipMiddleware):
    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if response.get("Content-Type", "").startswith("text/event-stream"):
            return response
        return super().process_response(request, response)
