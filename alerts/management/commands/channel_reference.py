"""`manage.py channel_reference`: the tables of docs/channels.md."""

from typing import Any

from django.core.management.base import BaseCommand

from alerts.reference import channel_reference


class Command(BaseCommand):
    help = "Print the settings of every channel as Markdown, for docs/channels.md."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(channel_reference())
