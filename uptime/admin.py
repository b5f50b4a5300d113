"""Models of others' apps: the task queue, groups of rights, and who changed what in these pages."""

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django_q.admin import FailAdmin, QueueAdmin, ScheduleAdmin, TaskAdmin
from django_q.models import Failure, OrmQ, Schedule, Success

from uptime.admin_site import Admin, RecordAdmin


class SuccessfulTasks(Admin[Success], TaskAdmin):  # type: ignore[misc] # django-q2 ships no types
    pass


class FailedTasks(Admin[Failure], FailAdmin):  # type: ignore[misc] # django-q2 ships no types
    pass


class Schedules(Admin[Schedule], ScheduleAdmin):  # type: ignore[misc] # django-q2 ships no types
    pass


class QueuedTasks(Admin[OrmQ], QueueAdmin):  # type: ignore[misc] # django-q2 ships no types
    ordering = ("-id",)


class Groups(Admin[Group], GroupAdmin):
    pass


for model, model_admin in (
    (Group, Groups),
    (Success, SuccessfulTasks),
    (Failure, FailedTasks),
    (Schedule, Schedules),
    (OrmQ, QueuedTasks),
):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
        admin.site.register(model, model_admin)


@admin.register(LogEntry)
class LogEntryAdmin(RecordAdmin[LogEntry]):
    list_display = ("action_time", "user", "content_type", "object_repr", "action_flag")
    list_filter = ("action_flag",)
    list_select_related = ("user", "content_type")
    search_fields = ("object_repr", "user__email")
    ordering = ("-id",)
