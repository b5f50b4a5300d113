import pytest
from django.test import Client

from accounts.models import User


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root@example.org", "correct horse battery")


@pytest.fixture
def admin_client(root: User) -> Client:
    """Signed in as the superuser; shadows pytest-django's, whose user has a username."""
    client = Client()
    client.force_login(root)
    return client
