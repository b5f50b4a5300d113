from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from uptime.server import serve


class Command(BaseCommand):
    help = "Serve pages and API on UPTIME_HOST and UPTIME_PORT with UPTIME_WEB_WORKERS processes."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fd", type=int, help="A listening socket to use instead.")

    def handle(self, *args: object, fd: int | None, **options: object) -> None:
        serve(fd)
