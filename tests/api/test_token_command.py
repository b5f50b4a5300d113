"""`manage.py token`: for scripts, so its output is the token and nothing else."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiToken, Membership, Scope
from accounts.tokens import authenticate_token

pytestmark = pytest.mark.django_db


def print_token(*arguments: str) -> str:
    out = StringIO()
    call_command("token", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_a_token_that_works(membership: Membership) -> None:
    printed = print_token(membership.user.email.upper())

    assert printed.count("\n") == 1
    found = authenticate_token(printed.strip())
    assert found is not None
    assert (found.team, found.scope) == (membership.team, Scope.WRITE)


def test_it_takes_a_scope_and_a_name(membership: Membership) -> None:
    print_token(membership.user.email, "--scope", "read", "--name", "laptop")

    token = ApiToken.objects.get()
    assert (token.scope, token.name) == ("read", "laptop")


@pytest.mark.parametrize("email", ["nobody@example.org", ""])
def test_an_unknown_user_is_one_clear_error(membership: Membership, email: str) -> None:
    with pytest.raises(CommandError) as error:
        print_token(email)

    assert error.value.returncode == 1
    assert "\n" not in str(error.value)


def test_a_user_without_a_team_gets_none(membership: Membership) -> None:
    email = membership.user.email
    membership.delete()

    with pytest.raises(CommandError, match="team"):
        print_token(email)
