import json
from argparse import ArgumentParser

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from accounts.actions import ensure_first_user
from uptime.environment import env
from uptime.errors import Invalid
from uptime.preflight import Refusal, explain


class Command(BaseCommand):
    help = (
        "Bring the database up to this version and make the first user, as `up` does when it"
        " starts. Does nothing to a database that is up to date and has a user."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Answer with one JSON object.")

    def handle(self, *args: object, json: bool, **options: object) -> None:
        try:
            told = set_up()
        except (Refusal, DatabaseError) as error:
            sentence = str(error) if isinstance(error, Refusal) else explain(error)
            if sentence is None:
                raise  # a fault of ours
            if not json:
                raise CommandError(sentence) from error
            told = {"error": sentence}
        self.stdout.write(_as_json(told) if json else _as_text(told))


def set_up() -> dict[str, str]:
    """Migrate, make the first user; returns its e-mail and, if just generated, its password."""
    call_command("migrate", interactive=False, verbosity=0)
    try:
        user, password = ensure_first_user(
            email=env.str("UPTIME_ADMIN_EMAIL", default="admin@localhost"),
            password=env.str("UPTIME_ADMIN_PASSWORD", default=""),
        )
    except Invalid as error:
        raise Refusal(f"UPTIME_ADMIN_EMAIL: {' '.join(error.fields['email'])}") from error
    told = {"url": settings.BASE_URL, "email": user.email}
    return {**told, "password": password} if password else told


def _as_json(told: dict[str, str]) -> str:
    return json.dumps(told)


def _as_text(told: dict[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in told.items())
