"""The roof: every address of the product."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("uptime.health")),
    path("", include("uptime.metrics")),
    path("admin/", admin.site.urls),
]
