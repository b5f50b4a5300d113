import pytest

from accounts.actions import ensure_first_user, generate_password
from accounts.models import Membership, Role, User
from uptime.errors import Invalid

pytestmark = pytest.mark.django_db


def test_the_first_user_may_do_everything_and_owns_a_team() -> None:
    user, password = ensure_first_user(email="Ada@Example.com")
    assert user.email == "ada@example.com"
    assert user.is_superuser
    assert user.is_staff
    assert user.check_password(password)
    assert Membership.objects.get(user=user).role == Role.OWNER


def test_a_given_password_is_taken_and_not_told() -> None:
    user, told = ensure_first_user(email="ada@example.com", password="a password of hers")
    assert told == ""
    assert user.check_password("a password of hers")


def test_later_starts_change_nothing() -> None:
    first, password = ensure_first_user(email="ada@example.com")
    again, told = ensure_first_user(email="bob@example.com", password="another")
    assert again == first
    assert told == ""
    assert again.check_password(password)
    assert User.objects.count() == 1


def test_what_is_no_address_makes_no_user() -> None:
    with pytest.raises(Invalid, match="'ada' is not an e-mail address"):
        ensure_first_user(email="ada")
    assert not User.objects.exists()


def test_generated_passwords_differ() -> None:
    assert len({generate_password() for _ in range(100)}) == 100
