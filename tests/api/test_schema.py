"""The OpenAPI document is right, complete, and readable without the internet."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from alerts.channels import CHANNELS
from monitors.drafts import MonitorDraft
from probe.kinds import KINDS
from uptime.api.urls import urlpatterns


def test_it_validates_without_a_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    answer = Client().get("/api/v1/schema/")
    assert answer.status_code == 200
    return answer.json()


def test_it_has_every_address(document: dict[str, Any]) -> None:
    named = {re.sub(r"<\w+:(\w+)>", r"{\1}", str(one.pattern)) for one in urlpatterns}

    assert {path.removeprefix("/api/v1/") for path in document["paths"]} == named - {
        "",
        "schema/",
        "docs/",
    }


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_it_describes_the_settings_of_each_kind(document: dict[str, Any], kind: str) -> None:
    schemas = document["components"]["schemas"]
    body = schemas[schemas["MonitorIn"]["discriminator"]["mapping"][kind].rpartition("/")[2]]

    assert set(body["properties"]) == set(MonitorDraft.model_fields)
    settings = schemas[body["properties"]["settings"]["$ref"].rpartition("/")[2]]
    assert set(settings["properties"]) == set(KINDS[kind].settings.model_fields)


@pytest.mark.parametrize("name", sorted(CHANNELS))
def test_it_describes_the_config_of_each_channel(document: dict[str, Any], name: str) -> None:
    schemas = document["components"]["schemas"]
    body = schemas[schemas["ChannelIn"]["discriminator"]["mapping"][name].rpartition("/")[2]]

    config = schemas[body["properties"]["config"]["$ref"].rpartition("/")[2]]
    assert set(config["properties"]) == set(CHANNELS[name].config.model_fields)


def test_every_operation_tells_of_errors_and_every_write_of_idempotency(
    document: dict[str, Any],
) -> None:
    for operations in document["paths"].values():
        for method, operation in operations.items():
            assert "default" in operation["responses"]
            headers = [p["name"] for p in operation.get("parameters", []) if p["in"] == "header"]
            assert headers == ([] if method == "get" else ["Idempotency-Key"])
            assert operation["security"] == [{"token": []}, {"session": []}]


def test_the_page_loads_nothing_from_elsewhere(db: None) -> None:
    page = Client().get("/api/v1/docs/")
    script = Client().get("/api/v1/docs/?script=")

    assert (page.status_code, script.status_code) == (200, 200)
    assert "//" not in page.content.decode().replace("<!--", "")
    assert "https://" not in script.content.decode()
    assert "/api/v1/schema/" in script.content.decode()
    assert "default-src 'none'" in page["Content-Security-Policy"]
