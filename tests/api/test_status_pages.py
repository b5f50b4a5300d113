"""Status pages over REST."""

from datetime import timedelta

from django.utils import timezone

from accounts.models import Membership, Scope
from statuspages.models import StatusPage
from tests.api.conftest import Api
from tests.factories import make_monitor


def made_page(api: Api, **values: object) -> dict[str, object]:
    answer = api.post("status-pages/", {"name": "Acme", "slug": "acme", **values})
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_page_is_made_read_changed_and_deleted(api: Api) -> None:
    page = made_page(api, visibility="password", password="open sesame")
    assert "password" not in page
    assert str(page["url"]).endswith("/status/acme/")
    assert "open sesame" not in api.get(f"status-pages/{page['id']}/").content.decode()
    changed = api.patch(f"status-pages/{page['id']}/", {"name": "Acme Cloud", "accent": "#AA00FF"})
    assert (changed.json()["name"], changed.json()["accent"]) == ("Acme Cloud", "#aa00ff")
    assert api.get("status-pages/").json()["count"] == 1
    assert api.delete(f"status-pages/{page['id']}/").status_code == 204
    assert not StatusPage.objects.exists()


def test_components_and_posts_are_made_through_it(api: Api, membership: Membership) -> None:
    page = made_page(api)
    monitor = make_monitor(membership.team)
    given = {"name": "Shop", "monitor": str(monitor.pk), "section": "Web"}
    component = api.post(f"status-pages/{page['id']}/components/", given).json()
    assert (component["name"], component["status"]) == ("Shop", None)
    renamed = api.patch(f"components/{component['id']}/", {"name": "Store"}).json()
    assert (renamed["name"], renamed["section"]) == ("Store", "Web")

    affected = [{"component": component["id"], "impact": "degraded"}]
    words = {"title": "Slow", "phase": "investigating", "body": "Hm.", "affected": affected}
    post = api.post(f"status-pages/{page['id']}/posts/", words).json()
    assert post["affected"] == affected
    update = api.post(f"posts/{post['id']}/updates/", {"phase": "resolved", "body": "Done."})
    assert update.json()["author"] == membership.user.email
    told = api.get(f"posts/{post['id']}/").json()
    assert [one["phase"] for one in told["updates"]] == ["investigating", "resolved"]
    assert told["ends_at"] is not None
    assert api.patch(f"posts/{post['id']}/", {"title": "Was slow"}).json()["title"] == "Was slow"
    assert api.get(f"status-pages/{page['id']}/posts/").json()["count"] == 1

    assert api.delete(f"posts/{post['id']}/").status_code == 204
    assert api.delete(f"components/{component['id']}/").status_code == 204
    assert api.get(f"status-pages/{page['id']}/components/").json()["count"] == 0


def test_a_maintenance_says_of_itself_what_readers_see(api: Api) -> None:
    page, now = made_page(api), timezone.now()
    times = {"starts_at": now - timedelta(hours=2), "ends_at": now - timedelta(hours=1)}
    given = {name: at.isoformat() for name, at in times.items()}
    given |= {"kind": "maintenance", "title": "Move", "phase": "scheduled"}
    assert api.post(f"status-pages/{page['id']}/posts/", given).json()["phase"] == "completed"


def test_a_time_has_one_form_and_lies_within_reach(api: Api) -> None:
    path = f"status-pages/{made_page(api)['id']}/posts/"
    move = {"kind": "maintenance", "title": "Move", "phase": "scheduled"}
    for at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 1700000000, "1700000000"):
        answer = api.post(path, {**move, "starts_at": at, "ends_at": at})
        assert answer.status_code == 400
        assert set(answer.json()["error"]["fields"]) == {"starts_at", "ends_at"}
    assert api.get(path).json()["count"] == 0


def test_wrong_values_are_named(api: Api) -> None:
    page = made_page(api)
    answer = api.post(f"status-pages/{page['id']}/posts/", {"title": "", "phase": "lost"})
    assert answer.status_code == 400
    assert set(answer.json()["error"]["fields"]) == {"title", "phase"}
    assert api.post("status-pages/", {"name": "B", "slug": "acme"}).status_code == 400


def test_other_teams_and_readers_keep_out(
    api: Api, api_of: object, viewer: Membership, membership: Membership
) -> None:
    from tests.factories import MembershipFactory

    page = made_page(api)
    component = api.post(f"status-pages/{page['id']}/components/", {"name": "X"}).json()
    other = api_of(MembershipFactory())  # type: ignore[operator]
    for path in (f"status-pages/{page['id']}/", f"components/{component['id']}/"):
        assert other.get(path).status_code == 404
        assert other.delete(path).status_code == 404
    reader = api_of(membership, Scope.READ)  # type: ignore[operator]
    assert reader.get(f"status-pages/{page['id']}/").status_code == 200
    assert reader.delete(f"status-pages/{page['id']}/").status_code == 403
