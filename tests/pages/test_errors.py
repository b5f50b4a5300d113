"""Error pages say what happened and what to do, without a user and without a database."""

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse


def test_an_unknown_address_leads_back(client: Client) -> None:
    answer = client.get("/nowhere/")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


@pytest.mark.django_db
def test_a_stranger_gets_the_same_page_without_the_menu() -> None:
    shown = Client().get("/nowhere/").content.decode()
    assert "There is nothing here" in shown
    assert "Sign out" not in shown


@pytest.mark.django_db
def test_a_stale_form_says_to_try_again() -> None:
    answer = Client(enforce_csrf_checks=True).post(reverse("login"), {})
    assert answer.status_code == 403
    assert "Please try again" in answer.content.decode()


def test_our_own_fault_needs_neither_request_nor_database() -> None:
    assert "/health/ready" in render_to_string("500.html")
