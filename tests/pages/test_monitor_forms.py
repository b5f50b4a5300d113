"""The forms of the kinds: what is entered arrives, what is wrong is said beside its field."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Team
from monitors.forms import MonitorForm
from monitors.models import Monitor
from probe.kinds import KINDS
from tests.factories import full_settings, make_monitor
from uptime.secrets import MASK

pytestmark = pytest.mark.django_db


def create(client: Client, kind: str, **fields: Any) -> Monitor:
    answer = client.post(reverse("monitor-new-kind", args=[kind]), dotted(fields))
    assert answer.status_code == 302, errors(answer.content.decode())
    return Monitor.objects.get()


def refused(client: Client, kind: str, **fields: Any) -> str:
    answer = client.post(reverse("monitor-new-kind", args=[kind]), dotted(fields))
    assert answer.status_code == 422
    assert not Monitor.objects.exists()
    return answer.content.decode()


def dotted(fields: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in fields.items()}


def errors(shown: str) -> dict[str, str]:
    """The errors of a page by the field that they stand beside."""
    found = re.findall(r'<p class="error" id="id_(\S+)_error">(.*?)</p>', shown)
    return {name: unescape(text) for name, text in found}


def sent_back(form: MonitorForm) -> dict[str, Any]:
    """What a browser sends when the form is submitted as it was shown."""
    data: dict[str, Any] = {}
    for name in form.fields:
        value = form[name].value()
        if "__row__" in name or value is None or value is False:
            continue
        data[name] = "on" if value is True else value
    return data


def test_the_kinds_are_offered_first(client: Client) -> None:
    shown = client.get(reverse("monitor-new")).content.decode()
    for kind in KINDS.values():
        assert reverse("monitor-new-kind", args=[kind.name]) in shown


def test_an_unknown_kind_does_not_exist(client: Client) -> None:
    assert client.get(reverse("monitor-new-kind", args=["gopher"])).status_code == 404


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_form_that_saves_as_it_stands(client: Client, kind: str) -> None:
    form = MonitorForm(kind=KINDS[kind])
    filled = {**sent_back(form), "name": "New"}
    if KINDS[kind].has_target:
        filled["target"] = KINDS[kind].target_example
    answer = client.post(reverse("monitor-new-kind", args=[kind]), filled)
    assert answer.status_code == 302, errors(answer.content.decode())
    monitor = Monitor.objects.get()
    assert monitor.settings == {}
    assert monitor.failure_threshold == KINDS[kind].default_failure_threshold


def test_what_is_entered_for_http_arrives(client: Client) -> None:
    monitor = create(
        client,
        "http",
        name=" Shop ",
        target="https://example.org/health",
        interval="5 min",
        timeout="2.5",
        tags="prod, web ,,prod",
        sla_target="99.9",
        settings__method="POST",
        settings__headers="Accept: text/html\n\nX-Api-Key: abc:def",
        settings__expected_status="200-204, 301",
        settings__auth__type="basic",
        settings__auth__basic__username="probe",
        settings__auth__basic__password="secret one",
        settings__follow_redirects="",
        settings__verify_tls="on",
    )
    assert monitor.name == "Shop"
    assert (monitor.interval_s, monitor.timeout_ms, monitor.sla_target) == (300, 2500, 999)
    assert monitor.tags == ["prod", "web"]
    full = full_settings(monitor)
    assert full["headers"] == {"Accept": "text/html", "X-Api-Key": "abc:def"}
    assert full["expected_status"] == ["200-204", "301"]
    assert full["auth"] == {"type": "basic", "username": "probe", "password": "secret one"}
    assert full["follow_redirects"] is False
    assert "verify_tls" not in full


def test_what_is_entered_for_a_heartbeat_arrives(client: Client) -> None:
    monitor = create(
        client,
        "heartbeat",
        name="Backup",
        interval="1 d",
        settings__schedule="0 3 * * *",
        settings__timezone="Europe/Berlin",
        settings__grace="900",
    )
    assert monitor.interval_s == 86400
    assert monitor.settings == {
        "schedule": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "grace": 900.0,
    }


def test_assertions_are_rows(client: Client) -> None:
    monitor = create(
        client,
        "http",
        name="Shop",
        target="https://example.org/",
        settings__follow_redirects="on",
        settings__verify_tls="on",
        **{
            "settings.assertions.0.source": "status",
            "settings.assertions.0.comparison": "equals",
            "settings.assertions.0.value": "200",
            "settings.assertions.0.severity": "down",
            # row 1 was removed by the script, row 4 by its box, row 7 was never touched
            "settings.assertions.2.source": "json",
            "settings.assertions.2.property": "$.state",
            "settings.assertions.2.comparison": "equals",
            "settings.assertions.2.value": '"200"',
            "settings.assertions.2.severity": "degraded",
            "settings.assertions.4.source": "body",
            "settings.assertions.4.remove": "on",
            "settings.assertions.7.source": "",
            "settings.assertions.7.severity": "down",
        },
    )
    shown = [
        {"source": "status", "comparison": "equals", "value": 200},
        {
            "source": "json",
            "property": "$.state",
            "comparison": "equals",
            "value": "200",
            "severity": "degraded",
        },
    ]
    stored = monitor.settings["assertions"]
    assert [{key: row[key] for key in given} for row, given in zip(stored, shown, strict=True)] == (
        shown
    )


def test_what_cannot_be_parsed_is_said_beside_its_field(client: Client) -> None:
    shown = refused(
        client, "http", name="Shop", interval="now and then", settings__headers="no colon"
    )
    assert set(errors(shown)) == {"interval", "settings.headers"}


def test_what_the_rules_refuse_is_said_beside_its_field(client: Client) -> None:
    shown = refused(
        client,
        "http",
        name="Shop",
        target="gopher://example.org",
        retry_interval="5 min",
        settings__max_redirects="99",
        settings__expected_status="20",
        settings__auth__type="basic",
        settings__auth__basic__username="a:b",
        settings__auth__basic__password="x",
    )
    assert set(errors(shown)) == {
        "target",
        "retry_interval",
        "settings.max_redirects",
        "settings.expected_status",
        "settings.auth.basic.username",
    }
    assert 'value="gopher://example.org"' in shown


@pytest.mark.parametrize("kind", ["http", "domain"])
def test_a_pause_before_confirming_that_was_left_alone_follows_a_short_interval(
    client: Client, kind: str
) -> None:
    filled = {
        **sent_back(MonitorForm(kind=KINDS[kind])),
        "name": "Often",
        "target": KINDS[kind].target_example,
        "interval": "3 s" if kind == "http" else "1 min",
    }
    answer = client.post(reverse("monitor-new-kind", args=[kind]), filled)
    if kind == "domain":  # the interval itself is refused, and nothing else
        assert set(errors(answer.content.decode())) == {"interval"}
        return
    monitor = Monitor.objects.get()
    assert (monitor.interval_s, monitor.retry_interval_s) == (3, 3)

    shown = {**sent_back(MonitorForm(kind=KINDS[kind], monitor=monitor)), "interval": "2 s"}
    assert client.post(reverse("monitor-edit", args=[monitor.pk]), shown).status_code == 302
    monitor.refresh_from_db()
    assert (monitor.interval_s, monitor.retry_interval_s) == (2, 2)


def test_a_pause_before_confirming_that_was_chosen_must_fit_the_interval(client: Client) -> None:
    shown = refused(
        client,
        "http",
        name="Often",
        target="https://example.org/",
        interval="3 s",
        retry_interval="4 s",
        settings__follow_redirects="on",
        settings__verify_tls="on",
    )
    assert set(errors(shown)) == {"retry_interval"}


def test_an_error_in_a_row_stands_in_that_row(client: Client) -> None:
    shown = refused(
        client,
        "http",
        name="Shop",
        target="https://example.org/",
        **{
            "settings.assertions.3.source": "status",
            "settings.assertions.3.comparison": "equals",
            "settings.assertions.3.value": "200",
            "settings.assertions.5.source": "latency",
            "settings.assertions.5.comparison": "less_than",
            "settings.assertions.5.value": "fast",
        },
    )
    _, row_three, row_five, *_ = shown.split("data-row>")
    assert "needs a number" in row_five
    assert "needs a number" not in row_three


def test_a_section_with_an_error_is_unfolded(client: Client) -> None:
    shown = refused(
        client,
        "http",
        name="Shop",
        target="https://example.org/",
        settings__max_redirects="99",
    )
    assert re.search(r'<details class="fold" open>\s*<summary>Answer', shown)
    assert re.search(r'<details class="fold">\s*<summary>Request', shown)


@pytest.fixture
def secretive(team: Team) -> Monitor:
    return make_monitor(
        team,
        name="Shop",
        settings={
            "headers": {"X-Api-Key": "key one", "Accept": "text/html"},
            "auth": {"type": "basic", "username": "probe", "password": "secret one"},
            "proxy": "http://127.0.0.1:3128",
            "proxy_password": "secret two",
            "assertions": [
                {"source": "body", "comparison": "contains", "value": "12"},
                {"source": "json", "property": "$.a", "comparison": "equals", "value": True},
            ],
        },
    )


def edit(client: Client, monitor: Monitor, **changes: Any) -> Monitor:
    form = MonitorForm(kind=KINDS[monitor.kind], monitor=monitor)
    data = {**sent_back(form), **dotted(changes)}
    answer = client.post(reverse("monitor-edit", args=[monitor.pk]), data)
    assert answer.status_code == 302, errors(answer.content.decode())
    return Monitor.objects.get(pk=monitor.pk)


def test_saving_an_untouched_form_changes_nothing(client: Client, secretive: Monitor) -> None:
    saved = edit(client, secretive)
    assert full_settings(saved) == full_settings(secretive)
    assert saved.revision == secretive.revision


def test_a_secret_is_never_in_the_page(client: Client, secretive: Monitor) -> None:
    shown = client.get(reverse("monitor-edit", args=[secretive.pk])).content.decode()
    for secret in ("secret one", "secret two", "key one"):
        assert secret not in shown
    assert f"X-Api-Key: {MASK}" in shown


def test_a_secret_is_replaced_by_what_is_typed(client: Client, secretive: Monitor) -> None:
    saved = edit(client, secretive, settings__auth__basic__password="secret three")
    assert full_settings(saved)["auth"]["password"] == "secret three"
    assert full_settings(saved)["proxy_password"] == "secret two"


def test_a_secret_is_removed_by_its_box(client: Client, secretive: Monitor) -> None:
    saved = edit(client, secretive, settings__proxy_password__forget="on")
    assert "proxy_password" not in full_settings(saved)


def test_choosing_none_of_several_removes_it(client: Client, secretive: Monitor) -> None:
    assert "auth" not in full_settings(edit(client, secretive, settings__auth__type=""))


def test_another_sort_of_login_does_not_inherit_the_secret(
    client: Client, secretive: Monitor
) -> None:
    form = MonitorForm(kind=KINDS["http"], monitor=secretive)
    data = {**sent_back(form), "settings.auth.type": "bearer"}
    answer = client.post(reverse("monitor-edit", args=[secretive.pk]), data)
    assert set(errors(answer.content.decode())) == {"settings.auth.bearer.token"}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("45", 45), ("45 s", 45), ("5min", 300), ("5 m", 300), ("1 hour", 3600), ("2 D", 172800)],
)
def test_durations_are_written_as_people_do(written: str, seconds: int) -> None:
    assert MonitorForm.base_fields["interval"].clean(written) == seconds


@pytest.mark.parametrize(
    ("seconds", "shown"), [(45, "45 s"), (90, "90 s"), (300, "5 min"), (86400, "1 d")]
)
def test_durations_are_shown_in_the_largest_unit_that_fits(seconds: int, shown: str) -> None:
    assert MonitorForm.base_fields["interval"].prepare_value(seconds) == shown


def test_what_it_depends_on_is_written_and_shown_by_name(client: Client, team: Team) -> None:
    router = make_monitor(team, name="Router, upstairs")
    twins = [make_monitor(team, name="Twin") for _ in range(2)]
    named = f"Router, upstairs\n {twins[0].pk} \n"
    fields = {"name": "Server", "target": "127.0.0.1:9", "depends_on": named}
    client.post(reverse("monitor-new-kind", args=["tcp"]), fields)
    server = Monitor.objects.get(name="Server")
    assert set(server.depends_on.all()) == {router, twins[0]}
    form = MonitorForm(kind=KINDS["tcp"], monitor=server)
    assert form["depends_on"].value() == f"Router, upstairs\n{twins[0].pk}"
    page = client.get(server.get_absolute_url()).content.decode()
    assert f'<a href="{router.get_absolute_url()}">Router, upstairs</a>' in page
    edit(client, server, depends_on="")
    assert not server.depends_on.exists()


def test_what_does_not_exist_is_said_beside_what_depends_on_it(client: Client) -> None:
    shown = refused(client, "tcp", name="S", target="127.0.0.1:9", depends_on="Rooter")
    assert errors(shown) == {"depends_on": "There is no monitor Rooter."}


def test_a_monitor_without_a_name_is_called_what_it_watches(client: Client) -> None:
    made = create(client, "http", target="https://www.example.org/shop/")
    assert made.name == "www.example.org/shop"


def test_what_people_set_by_hand_asks_for_nothing_of_checks(client: Client) -> None:
    page = client.get(reverse("monitor-new-kind", args=["manual"])).content.decode()
    assert 'name="settings.status"' in page
    assert 'name="interval"' not in page
    assert 'name="settings.latency_degraded_ms"' not in page
    made = create(client, "manual", name="Warehouse", settings__status="degraded")
    assert (made.settings["status"], made.failure_threshold) == ("degraded", 1)
