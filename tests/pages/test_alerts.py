"""Channels, policies and the log of deliveries."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import Team
from alerts.actions import create_channel, create_policy, policy_values
from alerts.channels import CHANNELS
from alerts.models import Channel, ChannelProbe, Delivery, DeliveryStatus, Policy, Reach
from tests.factories import make_monitor

pytestmark = pytest.mark.django_db


@pytest.fixture
def channel(team: Team) -> Channel:
    config = {"url": "http://127.0.0.1:9/hook", "headers": {"X-Key": "a header secret"}}
    return create_channel(team=team, values={"name": "Hook", "type": "webhook", "config": config})


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status
    shown: str = answer.content.decode()
    return shown


def test_without_a_channel_the_page_says_what_to_do(client: Client) -> None:
    assert "Nobody is told yet" in text(client.get(reverse("channels")))


@pytest.mark.parametrize("type_", CHANNELS)
def test_each_type_has_a_form_of_its_own_settings(client: Client, type_: str) -> None:
    shown = text(client.get(reverse("channel-new-type", args=[type_])))
    for name, info in CHANNELS[type_].config.model_fields.items():
        assert f'name="config.{name}"' in shown
        assert str(info.title) in shown


def test_an_e_mail_channel_is_made_from_its_form(client: Client, team: Team) -> None:
    data = {"name": "Us", "enabled": "on", "config.to": "a@example.org, b@example.org"}
    answer = client.post(reverse("channel-new-type", args=["email"]), data, follow=True)
    assert "Send a test" in text(answer)
    channel = Channel.objects.get(team=team)
    assert channel.config == {"to": ["a@example.org", "b@example.org"]}


def test_an_error_of_a_channel_stands_beside_its_field(client: Client) -> None:
    data = {"name": "Us", "config.to": "a@example.org, nonsense"}
    shown = text(client.post(reverse("channel-new-type", args=["email"]), data), 422)
    assert re.search(r'id="id_config.to_error">[^<]*nonsense', shown)


def test_a_secret_that_was_made_is_shown_once(client: Client, team: Team) -> None:
    data = {"name": "Hook", "enabled": "on", "config.url": "https://example.org/hook"}
    answer = client.post(reverse("channel-new-type", args=["webhook"]), data, follow=True)
    channel = Channel.objects.get(team=team)
    secret = channel.full_config["secret"]
    assert secret in text(answer)
    page = reverse("channel", args=[channel.pk])
    assert secret not in text(client.get(page))


def test_saving_a_channel_untouched_keeps_its_secrets(client: Client, channel: Channel) -> None:
    address = reverse("channel-edit", args=[channel.pk])
    shown = text(client.get(address))
    assert "a header secret" not in shown
    assert channel.full_config["secret"] not in shown
    data = {
        "name": "Hook 2",
        "enabled": "on",
        "config.url": channel.config["url"],
        "config.headers": "X-Key: ********",
        "config.secret": "",
    }
    assert client.post(address, data).status_code == 302
    saved = Channel.objects.get(pk=channel.pk)
    assert saved.name == "Hook 2"
    assert saved.full_config == channel.full_config


def test_a_test_is_queued_and_its_outcome_shown(client: Client, channel: Channel) -> None:
    page = reverse("channel", args=[channel.pk])
    shown = text(client.post(reverse("channel-test", args=[channel.pk]), follow=True))
    assert "Queued" in shown
    Delivery.objects.update(status=DeliveryStatus.FAILED, last_error="It answered 503.")
    assert "It answered 503." in text(client.get(page))


def test_what_came_of_asking_whether_it_lives_is_shown(client: Client, channel: Channel) -> None:
    page, now = reverse("channel", args=[channel.pk]), timezone.now()
    assert "Soon asked whether it lives" in text(client.get(page))
    probe = ChannelProbe.objects.filter(channel=channel)
    probe.update(asked_at=now, proven_at=now, alive_since=now)
    assert "Lives: proven" in text(client.get(page))
    assert "Proven to live" in text(client.get(reverse("channels")))
    probe.update(alive_since=None, error="It answered 410.", is_final=True)
    for address in (page, reverse("channels")):
        shown = text(client.get(address))
        assert "It answered 410." in shown
    assert "Failing" in shown


def test_deleting_a_channel_names_the_policies_that_lose_it(
    client: Client, channel: Channel, team: Team
) -> None:
    policy(team, channel)
    address = reverse("channel-delete", args=[channel.pk])
    assert "out of “Everything”" in text(client.get(address))
    client.post(address)
    assert not Channel.objects.exists()


def policy(team: Team, channel: Channel, **values: Any) -> Policy:
    given = {"name": "Everything", "all": True, "steps": [{"channels": [str(channel.pk)]}]}
    return create_policy(team=team, values={**given, **values})


@pytest.mark.parametrize("reach", Reach.values)
def test_a_policy_is_made_for_all_for_tags_or_for_monitors(
    client: Client, team: Team, channel: Channel, reach: str
) -> None:
    monitor = make_monitor(team)
    data = {
        "name": "P",
        "on": ["down", "degraded"],
        "reach": reach,
        # what belongs to another reach is sent too, and not taken
        "tags": "prod, web",
        "names": "shop-*",
        "monitors": [str(monitor.pk)],
        "policy.steps.0.after_min": "0",
        "policy.steps.0.channels": [str(channel.pk)],
        "enabled": "on",
    }
    answer = client.post(reverse("policy-new"), data)
    assert answer.status_code == 302
    made = Policy.objects.get()
    assert (made.reach, made.on) == (reach, ["down", "degraded"])
    assert made.tags == (["prod", "web"] if reach == "tags" else [])
    assert made.names == (["shop-*"] if reach == "names" else [])
    assert list(made.monitors.all()) == ([monitor] if reach == "monitors" else [])
    assert list(made.steps.get().channels.all()) == [channel]


def test_a_policy_that_tells_nobody_is_refused_beside_its_fields(
    client: Client, channel: Channel
) -> None:
    data = {"name": "P", "reach": "all", "policy.steps.3.after_min": "5"}
    shown = text(client.post(reverse("policy-new"), data), 422)
    assert "Choose at least one channel or schedule." in shown
    assert "Choose at least one." in shown


def test_monitors_are_found_by_name_and_chosen_ones_stay(
    client: Client, team: Team, channel: Channel
) -> None:
    shop, blog, other = (make_monitor(team, name=n) for n in ("Shop", "Blog", "Other"))
    query = {"q": "blo", "monitors": [str(shop.pk)]}
    shown = text(client.get(reverse("policy-monitors"), query))
    assert re.search(rf'value="{shop.pk}"[^>]*checked', shown)
    assert f'value="{blog.pk}"' in shown
    assert f'value="{other.pk}"' not in shown


def test_a_policy_is_changed_and_deleted(client: Client, team: Team, channel: Channel) -> None:
    made = policy(team, channel)
    data = {
        "name": "Less",
        "on": ["down"],
        "reach": "all",
        "policy.steps.0.channels": [str(channel.pk)],
    }
    assert client.post(reverse("policy", args=[made.pk]), data).status_code == 302
    made.refresh_from_db()
    assert (made.name, made.enabled) == ("Less", False)
    client.post(reverse("policy-delete", args=[made.pk]))
    assert not Policy.objects.exists()


def test_what_was_given_up_is_sent_again_from_the_log(
    client: Client, team: Team, channel: Channel
) -> None:
    delivery = Delivery.objects.create(
        team=team, channel=channel, event="test", facts={}, status="dead", last_error="Refused."
    )
    shown = text(client.get(reverse("deliveries"), {"status": "dead"}))
    assert "Refused." in shown
    retry = reverse("delivery-retry", args=[delivery.pk])
    assert retry in shown
    client.post(retry)
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.QUEUED
    assert "can be retried" in text(client.post(retry, follow=True))


def test_a_delivery_shows_what_was_said_in_each_attempt(
    client: Client, team: Team, channel: Channel
) -> None:
    delivery = Delivery.objects.create(team=team, channel=channel, event="test", facts={})
    exchange = {
        "method": "POST",
        "url": "https://hooks.example/",
        "headers": {"Content-Type": "application/json"},
        "sent": "<b>sent</b>",
        "status": 500,
        "answer": "out of order",
    }
    delivery.log.create(
        number=1, began_at=delivery.created_at, duration_ms=12, exchanges=[exchange], error="No."
    )
    page = reverse("delivery", args=[delivery.pk])
    assert page in text(client.get(reverse("deliveries")))
    shown = text(client.get(page))
    assert "out of order" in shown
    assert "&lt;b&gt;sent" in shown
    assert "500" in shown


@pytest.mark.parametrize(("name", "queries"), [("deliveries", 5), ("channels", 5), ("policies", 9)])
def test_the_lists_take_as_many_queries_for_many_as_for_one(
    client: Client,
    team: Team,
    channel: Channel,
    django_assert_num_queries: DjangoAssertNumQueries,
    name: str,
    queries: int,
) -> None:
    for number in range(5):
        if number in (1, 4):
            with django_assert_num_queries(queries):
                client.get(reverse(name))
        Delivery.objects.create(team=team, channel=channel, event="test", facts={})
        policy(team, channel, all=False, monitors=[str(make_monitor(team).pk)])


def test_a_channel_can_stand_in_for_another(client: Client, team: Team, channel: Channel) -> None:
    values = {"name": "Us", "type": "email", "config": {"to": ["us@example.org"]}}
    other = create_channel(team=team, values=values)
    address = reverse("channel-edit", args=[channel.pk])
    shown = text(client.get(address))
    assert "Us</option>" in shown
    assert "Hook</option>" not in shown
    data = {
        "name": "Hook",
        "enabled": "on",
        "config.url": channel.config["url"],
        "config.headers": "X-Key: ********",
        "fallback": str(other.pk),
    }
    assert client.post(address, data).status_code == 302
    assert Channel.objects.get(pk=channel.pk).fallback == other
    assert "In its place" in text(client.get(reverse("channel", args=[channel.pk])))


def test_a_template_that_is_wrong_is_told_beside_it(client: Client) -> None:
    data = {"name": "Us", "config.to": "a@example.org", "config.text_template": "{{ monitr }}"}
    shown = text(client.post(reverse("channel-new-type", args=["email"]), data), 422)
    assert re.search(r'id="id_config.text_template_error">[^<]*There is no “monitr”', shown)


def test_what_a_channel_would_say_is_shown_before_it_is_saved(
    client: Client, channel: Channel
) -> None:
    data = {"name": "Us", "config.to": "a@example.org", "config.text_template": "Up, {{ event }}!"}
    shown = text(client.post(reverse("channel-new-preview", args=["email"]), data))
    assert "Up, down!" in shown
    assert "invented incident" in shown
    wrong = {**data, "config.text_template": "{{ monitr }}"}
    shown = text(client.post(reverse("channel-new-preview", args=["email"]), wrong))
    assert "There is no “monitr”" in shown

    stored = {"name": "Hook", "config.url": channel.config["url"], "config.method": "PUT"}
    shown = text(client.post(reverse("channel-preview", args=[channel.pk]), stored))
    assert "connection_refused" not in shown
    assert "connect_refused" in shown
    assert Channel.objects.get(pk=channel.pk).config == channel.config


def test_steps_and_hours_are_entered_and_shown_again(
    client: Client, team: Team, channel: Channel
) -> None:
    data = {
        "name": "Nights",
        "on": ["down"],
        "reach": "all",
        "policy.steps.0.after_min": "0",
        "policy.steps.0.channels": [str(channel.pk)],
        "policy.steps.4.after_min": "10",
        "policy.steps.4.channels": [str(channel.pk)],
        "policy.steps.4.severities": ["down"],
        "policy.steps.4.repeat_min": "30",
        "policy.steps.4.max_repeats": "3",
        "stop_on_acknowledge": "on",
        "policy.windows.0.start": "22:00",
        "policy.windows.0.end": "06:00",
        "policy.windows.0.days": ["mon", "tue"],
        "policy.windows.1.start": "",
        "timezone": "Europe/Berlin",
        "outside_hours": "drop",
        "enabled": "on",
    }
    assert client.post(reverse("policy-new"), data).status_code == 302
    values = policy_values(Policy.objects.get())
    assert [step["delay_seconds"] for step in values["steps"]] == [0, 600]
    assert values["steps"][1]["repeat_seconds"] == 1800
    assert values["steps"][1]["max_repeats"] == 3
    assert values["steps"][1]["severities"] == ["down"]
    assert values["active_hours"] == {
        "timezone": "Europe/Berlin",
        "windows": [{"days": ["mon", "tue"], "start": "22:00", "end": "06:00"}],
    }
    assert values["outside_hours"] == "drop"
    shown = text(client.get(reverse("policy", args=[Policy.objects.get().pk])))
    assert re.search(r'name="policy.steps.1.after_min" value="10"', shown)
    assert re.search(r'name="policy.windows.0.start" value="22:00"', shown)
    assert re.search(r'value="tue"[^>]*checked', shown)
    listed = text(client.get(reverse("policies")))
    assert "after 10 min, again every 30 min, at most 3 times, only if down" in listed


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"policy.windows.0.start": "9"}, "Give a time of day"),
        ({"timezone": "Mars/Olympus"}, "not the name of a time zone"),
        ({"policy.windows.0.days": []}, "Choose at least one day."),
        ({"policy.steps.0.repeat_min": "0.5"}, "greater than or equal to 60"),
        ({"policy.steps.0.max_repeats": "2"}, "nothing to limit"),
        ({"policy.steps.0.channels": []}, "Choose at least one channel or schedule."),
    ],
)
def test_what_is_wrong_with_steps_and_hours_stands_beside_it(
    client: Client, channel: Channel, wrong: dict[str, Any], sentence: str
) -> None:
    data = {
        "name": "P",
        "on": ["down"],
        "reach": "all",
        "policy.steps.0.after_min": "1",
        "policy.steps.0.channels": [str(channel.pk)],
        "policy.windows.0.start": "08:00",
        "policy.windows.0.end": "18:00",
        "policy.windows.0.days": ["mon"],
        "timezone": "UTC",
        **wrong,
    }
    shown = text(client.post(reverse("policy-new"), data), 422)
    assert re.search(rf'class="error"[^>]*>[^<]*{sentence}', shown)


def test_a_new_policy_tells_the_only_channel_there_is(client: Client, channel: Channel) -> None:
    ticked = re.compile(rf'value="{channel.pk}"[^>]* checked')
    assert ticked.search(text(client.get(reverse("policy-new"))))
    values = {"name": "Other", "type": "webhook", "config": {"url": "https://hooks.example/b"}}
    create_channel(team=channel.team, values=values)
    assert not ticked.search(text(client.get(reverse("policy-new"))))
