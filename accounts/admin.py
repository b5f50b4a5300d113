from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import (
    ApiToken,
    AuditEntry,
    BrowserSession,
    IdempotentRequest,
    Invitation,
    Membership,
    Passkey,
    RecoveryCode,
    SecondFactor,
    SignInTries,
    Team,
    User,
)
from uptime.admin_site import Admin, RecordAdmin


class EmailForm(forms.ModelForm[User]):
    """E-mails are stored in lower case: one person, one account."""

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


class AddUserForm(EmailForm, AdminUserCreationForm[User]):
    class Meta:
        model = User
        fields = ("email", "name")


class ChangeUserForm(EmailForm, UserChangeForm[User]):
    class Meta:
        model = User
        fields = ("email", "name")


class MembershipInline(admin.TabularInline[Membership, Any]):
    model = Membership
    autocomplete_fields = ("team", "user")
    extra = 0
    readonly_fields = ("created_at",)


@admin.register(User)
class UserAdmin(Admin[User], DjangoUserAdmin[User]):
    """Only a superuser may make others one, or touch a superuser's account."""

    form = ChangeUserForm
    add_form = AddUserForm
    ordering = ("email",)
    list_display = ("email", "name", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email", "name")
    readonly_fields = ("password_link", "last_login", "created_at")
    inlines = (MembershipInline,)
    fieldsets = (
        (None, {"fields": ("email", "name", "time_zone", "theme", "password_link")}),
        (
            "Rights",
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        ("Dates", {"fields": ("last_login", "created_at")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),
    )

    @admin.display(description="password")
    def password_link(self, user: User) -> SafeString:
        state = "Set." if user.has_usable_password() else "None: this user can't sign in with one."
        return format_html('{} <a href="../password/">Set another</a>', state)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        rights = ["is_staff", "is_superuser", "groups", "user_permissions"]
        fields = [str(name) for name in super().get_readonly_fields(request, obj)]
        return fields if _is_superuser(request) else [*fields, *rights]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)


def _is_superuser(request: HttpRequest) -> bool:
    return request.user.is_authenticated and request.user.is_superuser


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    return user is None or not user.is_superuser or _is_superuser(request)


@admin.register(Team)
class TeamAdmin(Admin[Team]):
    list_display = ("name", "retention_days", "requires_second_factor", "created_at")
    search_fields = ("name",)
    ordering = ("name",)
    readonly_fields = ("created_at",)
    inlines = (MembershipInline,)


@admin.register(Membership)
class MembershipAdmin(Admin[Membership]):
    list_display = ("user", "team", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "team")
    search_fields = ("user__email", "team__name")
    autocomplete_fields = ("team", "user")
    readonly_fields = ("created_at",)


@admin.register(Invitation)
class InvitationAdmin(RecordAdmin[Invitation]):
    """An invitation is made where its link can be sent; deleting it takes it back."""

    list_display = ("email", "team", "role", "invited_by", "created_at", "expires_at")
    list_filter = ("role",)
    list_select_related = ("team", "invited_by")
    search_fields = ("email", "team__name")
    ordering = ("-id",)
    fields = ("email", "team", "role", "invited_by", "created_at", "expires_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("accounts.delete_invitation")


@admin.register(ApiToken)
class ApiTokenAdmin(Admin[ApiToken]):
    """A token is issued by the page or the command that shows it once; deleting it revokes it."""

    list_display = ("hint", "name", "user", "team", "scope", "expires_at", "last_used_at")
    list_filter = ("scope",)
    list_select_related = ("user", "team")
    search_fields = ("name", "hint", "user__email", "team__name")
    ordering = ("-id",)
    fields = ("hint", "name", "user", "team", "scope", "created_at", "expires_at", "last_used_at")
    readonly_fields = ("hint", "user", "team", "scope", "created_at", "last_used_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(IdempotentRequest)
class IdempotentRequestAdmin(RecordAdmin[IdempotentRequest]):
    """Without the answers that are kept: one may hold a secret that was to be shown once."""

    list_display = ("key", "team", "status", "created_at")
    list_filter = ("status",)
    list_select_related = ("team",)
    search_fields = ("key",)
    ordering = ("-id",)
    fields = ("key", "team", "status", "created_at")


@admin.register(SignInTries)
class SignInTriesAdmin(RecordAdmin[SignInTries]):
    """Deleting a row lets that address try again at once."""

    list_display = ("pair", "since", "count")
    search_fields = ("pair",)
    ordering = ("pair",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("accounts.delete_signintries")


@admin.register(AuditEntry)
class AuditEntryAdmin(RecordAdmin[AuditEntry]):
    list_display = ("at", "team", "who", "token", "action", "object_name", "address")
    list_select_related = ("team",)
    list_filter = ("action",)
    search_fields = ("who", "object_name", "team__name")
    ordering = ("-id",)


@admin.register(SecondFactor)
class SecondFactorAdmin(RecordAdmin[SecondFactor]):
    """Deleting one lets its user sign in with the password alone: for who has lost everything."""

    list_display = ("user", "created_at", "confirmed_at")
    list_select_related = ("user",)
    search_fields = ("user__email",)
    ordering = ("-created_at",)
    fields = ("user", "created_at", "confirmed_at")

    def has_delete_permission(self, request: HttpRequest, obj: SecondFactor | None = None) -> bool:
        may = request.user.has_perm("accounts.delete_secondfactor")
        return may and _may_touch(request, obj.user if obj else None)


@admin.register(RecoveryCode)
class RecoveryCodeAdmin(RecordAdmin[RecoveryCode]):
    list_display = ("id", "user")
    list_select_related = ("user",)
    search_fields = ("user__email",)
    ordering = ("-id",)
    fields = ("user",)


@admin.register(Passkey)
class PasskeyAdmin(RecordAdmin[Passkey]):
    """Deleting one keeps whoever holds its device out."""

    list_display = ("name", "user", "created_at", "last_used_at", "sign_count")
    list_select_related = ("user",)
    search_fields = ("name", "user__email")
    ordering = ("-created_at",)
    fields = ("user", "name", "transports", "sign_count", "created_at", "last_used_at")

    def has_delete_permission(self, request: HttpRequest, obj: Passkey | None = None) -> bool:
        may = request.user.has_perm("accounts.delete_passkey")
        return may and _may_touch(request, obj.user if obj else None)


@admin.register(BrowserSession)
class BrowserSessionAdmin(RecordAdmin[BrowserSession]):
    """Without its key and data, which are what signs in; deleting one signs out."""

    list_display = ("user", "address", "agent", "signed_in_at", "seen_at", "expire_date")
    list_select_related = ("user",)
    search_fields = ("user__email", "address")
    ordering = ("-seen_at",)
    fields = ("user", "address", "agent", "signed_in_at", "seen_at", "expire_date")
