import sys

from django.core.management.base import BaseCommand

from uptime import supervisor


class Command(BaseCommand):
    help = (
        "Run the whole product on this machine: the embedded PostgreSQL (unless DATABASE_URL is"
        " set), the web and both workers. Ctrl-C or SIGTERM stops all of it within 20 s."
    )
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        sys.exit(supervisor.main())
