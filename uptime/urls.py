"""The roof: every address of the product."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("uptime.health")),
    path("", include("uptime.metrics")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("uptime.api.urls")),
    path("ping/", include("monitors.ping_urls")),
    path("", include("statuspages.public_urls")),
    path("", include("uptime.pages_urls")),
]

handler500 = "uptime.api.errors.server_error"
