"""What the admin's tests share: addresses, and forms as a browser would send them."""

from typing import Any

from django.db.models import Model
from django.test import Client
from django.urls import reverse


def address(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def filled(client: Client, url: str) -> dict[str, Any]:
    """What a browser would send back from this form if nothing in it was changed."""
    context = client.get(url).context
    form = context["adminform"].form
    sent: dict[str, Any] = {}
    for bound in form:
        value = bound.value()
        if value is True:
            sent[bound.html_name] = "on"
        elif isinstance(value, list | tuple):
            sent[bound.html_name] = [str(getattr(one, "pk", one)) for one in value]
        elif value not in (None, False):
            sent[bound.html_name] = value
        if bound.field.show_hidden_initial:
            sent[bound.html_initial_name] = value
    for formset in context["inline_admin_formsets"]:
        for bound in formset.formset.management_form:
            sent[bound.html_name] = bound.value()
    return sent


def do(
    client: Client, model: type[Model], action: str, *chosen: Model, **entered: str
) -> list[str]:
    """Run one of the list's actions on the chosen; returns what was told."""
    client.get(address(model, "changelist"))  # shows what earlier requests have told
    response = client.post(
        address(model, "changelist"),
        {"action": action, "_selected_action": [str(one.pk) for one in chosen], **entered},
        follow=True,
    )
    assert response.status_code == 200, response.content
    return [str(message) for message in response.context["messages"]]
