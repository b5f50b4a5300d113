"""The OpenAPI document, and a page to read and try it."""

import json
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

from accounts.access import public

# Swagger UI comes from our own static files, but sets styles from its script.
DOCS_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


@require_safe
@public
def schema_document(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document: it describes the product, not this installation."""
    return HttpResponse(_document(), content_type="application/json")


@cache
def _document() -> bytes:
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    return json.dumps(generator.get_schema(public=True)).encode()  # type: ignore[no-untyped-call]


class Docs(SpectacularSwaggerSplitView):
    """The document, to read and to try."""

    authentication_classes = []
    permission_classes = [AllowAny]
    url_name = "api:schema"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = DOCS_POLICY
        return response
