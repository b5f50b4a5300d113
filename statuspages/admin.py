"""For whoever runs the installation: to be looked at. Teams change their pages on their side."""

from django.contrib import admin

from statuspages.models import (
    Badge,
    Component,
    Mailing,
    Post,
    PostTemplate,
    StatusPage,
    Subscriber,
)
from uptime.admin_site import RecordAdmin


@admin.register(StatusPage)
class StatusPageAdmin(RecordAdmin[StatusPage]):
    list_display = ("name", "team", "slug", "visibility", "domain", "changed_at")
    list_filter = ("visibility", "language")
    list_select_related = ("team",)
    search_fields = ("name", "slug", "domain", "team__name")
    ordering = ("name", "id")
    # the secret part of an address is not for everybody who may look
    exclude = ("access_key",)
    readonly_fields = ("website",)


@admin.register(Component)
class ComponentAdmin(RecordAdmin[Component]):
    list_display = ("name", "page", "section", "monitor", "status")
    list_select_related = ("page", "monitor")
    search_fields = ("name", "page__name", "monitor__name")
    ordering = ("-id",)


@admin.register(Post)
class PostAdmin(RecordAdmin[Post]):
    list_display = ("title", "page", "kind", "phase", "starts_at", "ends_at")
    list_filter = ("kind", "phase")
    list_select_related = ("page",)
    search_fields = ("title", "page__name")
    ordering = ("-id",)


@admin.register(PostTemplate)
class PostTemplateAdmin(RecordAdmin[PostTemplate]):
    list_display = ("name", "team", "kind", "phase")
    list_select_related = ("team",)
    search_fields = ("name", "team__name")
    ordering = ("name", "id")


@admin.register(Badge)
class BadgeAdmin(RecordAdmin[Badge]):
    list_display = ("monitor", "key", "created_at")
    list_select_related = ("monitor",)
    search_fields = ("monitor__name",)
    ordering = ("-created_at",)


@admin.register(Subscriber)
class SubscriberAdmin(RecordAdmin[Subscriber]):
    list_display = ("address", "page", "kind", "confirmed_at", "created_at")
    list_filter = ("kind",)
    list_select_related = ("page",)
    search_fields = ("address", "page__name")
    ordering = ("-id",)


@admin.register(Mailing)
class MailingAdmin(RecordAdmin[Mailing]):
    list_display = ("subscriber", "update", "attempts", "next_attempt_at", "sent_at", "last_error")
    list_select_related = ("subscriber", "update")
    search_fields = ("subscriber__address",)
    ordering = ("-id",)
