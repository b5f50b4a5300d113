import django.contrib.admin.apps
from django.apps import AppConfig


class UptimeConfig(AppConfig):
    name = "uptime"


class AdminConfig(django.contrib.admin.apps.AdminConfig):
    """Django's admin, on the product's site."""

    default = False  # the settings name it
    default_site = "uptime.admin_site.Site"
