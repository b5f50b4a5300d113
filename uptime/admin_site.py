"""The admin site: for whoever runs the installation, across all teams.

What all of its pages share is here: lists that never count, forms that write through the product's
own actions, and a sign-in that is the product's own.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache

from accounts.models import User
from uptime.errors import Conflict, Invalid

M = TypeVar("M", bound=Model)


class Site(admin.AdminSite):
    site_title = site_header = "Uptime administration"
    index_title = "The installation"

    @method_decorator(never_cache)
    @login_not_required
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One door for all: the product's login page, with its limit of tries."""
        if self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index", current_app=self.name))
        if request.user.is_authenticated:
            raise PermissionDenied("Your account may not use the administration.")
        asked_for = request.GET.get("next") or reverse("admin:index", current_app=self.name)
        return redirect_to_login(asked_for)


# -- lists ---------------------------------------------------------------------------------------


class KnownPages(Paginator[Any]):
    """The pages up to the present one, and the next if there is one: all that is known."""

    def __init__(self, rows: Sequence[Any], per_page: int, *, pages: int) -> None:
        super().__init__(rows, per_page)
        self._pages = pages

    @property
    def num_pages(self) -> int:
        return self._pages


class UncountedList(ChangeList):
    """A list that reads one page, and one row more to know whether another follows.

    Django's own counts all rows first, which takes seconds on a large table.
    """

    # A page is found by skipping those before it: what is further back is reached by filters.
    DEEPEST_PAGE: ClassVar[int] = 200

    def get_results(self, request: HttpRequest) -> None:
        if not 1 <= self.page_num <= self.DEEPEST_PAGE:
            raise IncorrectLookupParameters
        first = (self.page_num - 1) * self.list_per_page
        rows = list(self.queryset[first : first + self.list_per_page + 1])
        has_next = len(rows) > self.list_per_page and self.page_num < self.DEEPEST_PAGE
        self.result_list = rows[: self.list_per_page]
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = False
        self.multi_page = has_next or self.page_num > 1
        self.paginator = KnownPages(
            self.result_list, self.list_per_page, pages=self.page_num + has_next
        )


class Admin(admin.ModelAdmin[M]):
    """What every model's pages have in common: no counting, and deleting lists no millions."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count, too
    list_per_page = 100

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return UncountedList

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[Any], list[Any]]:
        """Name what was chosen. Django would load and list whatever goes with it: every ping."""
        chosen = list(objs)
        names = [f"{self.opts.verbose_name}: {one}, with all that belongs to it" for one in chosen]
        kept = {str(one) for one in chosen if not self.has_delete_permission(request, one)}
        return names, {str(self.opts.verbose_name_plural): len(chosen)}, kept, []


class RecordAdmin(Admin[M]):
    """A model whose rows the product writes: to be looked at, not added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class RecentFilter(admin.SimpleListFilter):
    """Bounds a list in time; the first span is chosen unless another is asked for."""

    title = "time"
    parameter_name = "when"
    spans: ClassVar[Mapping[str, timedelta | None]]

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        return [(name, name) for name in self.offered(request)]

    def offered(self, request: HttpRequest) -> list[str]:
        return list(self.spans)

    def value(self) -> str:
        chosen = super().value()
        offered = [str(name) for name, _ in self.lookup_choices]
        return chosen if chosen in offered else offered[0]

    def choices(self, changelist: ChangeList) -> Any:
        for name, label in self.lookup_choices:
            yield {
                "selected": self.value() == name,
                "query_string": changelist.get_query_string({self.parameter_name: name}),
                "display": label,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = self.spans[self.value()]
        return queryset if span is None else self.since(queryset, timezone.now() - span)

    @abstractmethod
    def since(self, queryset: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
        """The rows from that moment on."""


# -- forms and actions ---------------------------------------------------------------------------


class ActionForm(forms.ModelForm[M]):
    """A form whose values are judged by the action that they are for.

    `value_names` maps a field to the name that the action knows it by; `refused` holds what the
    action said about these very values.
    """

    value_names: ClassVar[Mapping[str, str]] = {}
    refused: Mapping[str, Sequence[str]] = {}

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        fields = {value: field for field, value in self.value_names.items()}
        for name, sentences in self.refused.items():
            top, _, below = name.partition(".")
            field = fields.get(top, top)
            told = [f"{below}: {sentence}" if below else sentence for sentence in sentences]
            if field in self.fields:
                self.add_error(field, told)
            else:
                self.add_error(None, [f"{name}: {one}" if name else one for one in sentences])
        return cleaned

    def values(self, *, only_changed: bool) -> dict[str, Any]:
        """What was entered, by the action's names."""
        chosen = self.changed_data if only_changed else list(self.cleaned_data)
        return {
            self.value_names.get(field, field): self.as_value(field, self.cleaned_data[field])
            for field in chosen
            if field in self.cleaned_data
        }

    def as_value(self, field: str, entered: Any) -> Any:
        return entered


class ActionAdmin(Admin[M]):
    """Saves and deletes through the product's actions; what they refuse is shown in the form."""

    form: type[ActionForm[M]]

    @abstractmethod
    def create(self, values: dict[str, Any], request: HttpRequest) -> M:
        """Raises `Invalid`."""

    @abstractmethod
    def update(self, obj: M, values: dict[str, Any], request: HttpRequest) -> object:
        """Raises `Invalid` or `Conflict`."""

    @abstractmethod
    def remove(self, obj: M) -> None:
        """Raises `Conflict`."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """A refusal rolls the whole save back; the form is then shown again, with what was said."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except Invalid as error:
            refused: Mapping[str, Sequence[str]] = error.fields
        except Conflict as error:
            refused = {"": [str(error)]}
        request.refused = refused  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(
        self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any
    ) -> type[ActionForm[M]]:
        form: type[ActionForm[M]] = super().get_form(request, obj, change=change, **kwargs)  # type: ignore[assignment]
        form.refused = getattr(request, "refused", {})
        return form

    def save_model(self, request: HttpRequest, obj: M, form: Any, change: bool) -> None:
        values = form.values(only_changed=change)
        if not change:
            obj.pk = self.create(values, request).pk
        elif values:
            # The form has written into `obj`; the action gets it as it is stored.
            self.update(self.model._default_manager.get(pk=obj.pk), values, request)
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: M) -> None:
        self.remove(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> None:
        for obj in queryset:
            self.remove(obj)


def act_on_each(
    request: HttpRequest, chosen: QuerySet[M], action: Callable[[M], object], *, done: str
) -> None:
    """Do it to each, and tell how many it was done to and why not to the others."""
    count = 0
    for obj in chosen:
        try:
            action(obj)
        except (Conflict, Invalid) as error:
            messages.warning(request, f"{obj}: {error}")
        else:
            count += 1
    if count:
        messages.success(request, f"{done}: {count}")


def signed_in(request: HttpRequest) -> User:
    """Who does it; the site has made sure that somebody is signed in."""
    assert isinstance(request.user, User)
    return request.user


def link_to_list(model: type[Model], text: str, **filters: object) -> SafeString:
    """A link to the list of `model`, filtered."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', address, urlencode(filters), text)
