"""`manage.py token EMAIL`: print a new API token and nothing else, for scripts to catch."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Membership, Scope
from accounts.tokens import issue_token


class Command(BaseCommand):
    help = "Print a new API token of the user with this e-mail (for the oldest of their teams)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("--scope", choices=Scope.values, default=Scope.WRITE.value)
        parser.add_argument("--name", default="", help="what the token is for, to know it again")

    def handle(self, *args: Any, **options: Any) -> None:
        email, name = options["email"], options["name"]
        if len(name) > 200:
            raise CommandError("a token's name has at most 200 characters")
        membership = (
            Membership.objects.filter(user__email__iexact=email, user__is_active=True)
            .select_related("user", "team")
            .order_by("created_at", "id")
            .first()
        )
        if membership is None:
            raise CommandError(f"no active user with the e-mail {email} is in a team")
        self.stdout.write(
            issue_token(
                user=membership.user,
                team=membership.team,
                scope=Scope(options["scope"]),
                name=name,
            )
        )
