"""What a page says in words, in the language that is active: that of the page."""

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from statuspages.models import ComponentStatus, Phase
from statuspages.reads import ComponentView, DayView, PageView, PostView


def headline(view: PageView) -> str:
    """The page's state in one sentence."""
    statuses = [one.status for one in view.components]
    match view.status:
        case ComponentStatus.OPERATIONAL:
            return _("All systems operational")
        case ComponentStatus.MAINTENANCE:
            return _("Maintenance in progress")
        case ComponentStatus.DEGRADED:
            return _("Degraded performance")
        case ComponentStatus.PARTIAL:
            return _("Partial outage")
        case ComponentStatus.MAJOR if set(statuses) == {ComponentStatus.MAJOR}:
            return _("Major outage")
        case ComponentStatus.MAJOR:
            return _("Some systems are down")
    if ComponentStatus.OPERATIONAL in statuses:
        return _("All systems operational")
    return _("No data yet")


def title_of(post: PostView) -> str:
    """Its title; one that is made of a monitor's incident is named by what it is about."""
    if post.title:
        return post.title
    names = ", ".join(post.components)
    if post.impact == ComponentStatus.DEGRADED:
        return _("Degraded performance: %(names)s") % {"names": names}
    return _("Outage: %(names)s") % {"names": names}


def phase_label(phase: Phase) -> str:
    return str(phase.label)


def percent(value: float) -> str:
    """A share, cut rather than rounded: 100 % means all of it."""
    places = 3 if value >= 99 else 1
    cut = math.floor(value * 10**places) / 10**places
    text = f"{cut:.{places}f}".rstrip("0").rstrip(".")
    return _("%(number)s %%") % {"number": text.replace(".", pgettext("decimal separator", "."))}


def lasting(value: timedelta) -> str:
    """Two units at most: `45 s`, `3 min 20 s`, `2 h 5 min`, `12 d 4 h`."""
    whole = max(0, round(value.total_seconds()))
    units = (
        (86400, pgettext("days", "d"), 3600, pgettext("hours", "h")),
        (3600, pgettext("hours", "h"), 60, pgettext("minutes", "min")),
        (60, pgettext("minutes", "min"), 1, pgettext("seconds", "s")),
    )
    for size, unit, smaller, small_unit in units:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} {units[-1][-1]}"


def milliseconds(value: float) -> str:
    if value >= 1000:
        return f"{value / 1000:.2f} {pgettext('seconds', 's')}".replace(
            ".", pgettext("decimal separator", ".")
        )
    return f"{value:.0f} ms"


def day_words(day: DayView) -> str:
    """What happened on a day: `23 min down, 2 h 5 min degraded`."""
    spent = day.spent
    parts = []
    if spent.down:
        parts.append(_("%(time)s down") % {"time": lasting(spent.down)})
    if spent.degraded:
        parts.append(_("%(time)s degraded") % {"time": lasting(spent.degraded)})
    if spent.maintenance:
        parts.append(_("%(time)s under maintenance") % {"time": lasting(spent.maintenance)})
    return ", ".join(parts)


def bars_words(component: ComponentView) -> str:
    """What the bars show, for who can't see them."""
    eventful = sum(day.is_eventful for day in component.days)
    share = uptime_words(component)
    if not eventful:
        trouble = _("no trouble recorded")
    else:
        trouble = ngettext(
            "%(count)d day with trouble", "%(count)d days with trouble", eventful
        ) % {"count": eventful}
    return f"{component.name}: {share}, {trouble}"


def uptime_words(component: ComponentView) -> str:
    if component.uptime_percent is None:
        return str(ComponentStatus.UNKNOWN.label)
    # the sign does not stand alone in a line
    shown = percent(component.uptime_percent).replace(" ", "\N{NO-BREAK SPACE}")
    return _("%(percent)s uptime") % {"percent": shown}


def day_date(value: date) -> str:
    return str(date_format(value, "DATE_FORMAT"))


def moment_words(value: datetime) -> str:
    """A point in time in UTC, as the page's language writes it."""
    return f"{date_format(value, 'j M Y, H:i')} UTC"


def names_words(names: Sequence[str]) -> str:
    return ", ".join(names)
