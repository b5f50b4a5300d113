from typing import Any

from django.core.management.commands import migrate

from uptime.schema import refuse_newer_database


class Command(migrate.Command):
    """Django's own, but that it leaves a database alone that is newer than the code."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        refuse_newer_database()
        return super().handle(*args, **options)
