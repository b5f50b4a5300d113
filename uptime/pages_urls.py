"""The addresses of the pages."""

from django.urls import path

from accounts import team_views as teams
from accounts import views as accounts
from alerts import views as alerts
from alerts.on_call import views as on_call
from incidents import views as incidents
from monitors import overview_views as overview
from monitors import views as monitors
from statuspages import views as statuspages

urlpatterns = [
    path("", overview.monitor_list, name="home"),
    path("monitors/bulk/", overview.change_many, name="monitors-bulk"),
    path("views/new/", overview.save_view, name="view-new"),
    path("views/<uuid:view_id>/delete/", overview.remove_view, name="view-delete"),
    path("monitors/new/", monitors.choose_kind, name="monitor-new"),
    path("monitors/new/<slug:kind_name>/", monitors.new_monitor, name="monitor-new-kind"),
    path("monitors/<uuid:monitor_id>/", monitors.monitor_page, name="monitor"),
    path("monitors/<uuid:monitor_id>/edit/", monitors.edit_monitor, name="monitor-edit"),
    path("monitors/<uuid:monitor_id>/delete/", monitors.remove_monitor, name="monitor-delete"),
    path("monitors/<uuid:monitor_id>/check/", monitors.check_monitor, name="monitor-check"),
    path("monitors/<uuid:monitor_id>/pause/", incidents.pause, name="monitor-pause"),
    path("monitors/<uuid:monitor_id>/resume/", incidents.resume, name="monitor-resume"),
    path("incidents/", incidents.incident_list, name="incidents"),
    path("incidents/<uuid:incident_id>/", incidents.incident_page, name="incident"),
    path(
        "incidents/<uuid:incident_id>/acknowledge/",
        incidents.acknowledge,
        name="incident-acknowledge",
    ),
    path("incidents/<uuid:incident_id>/resolve/", incidents.resolve, name="incident-resolve"),
    path("incidents/<uuid:incident_id>/comment/", incidents.comment, name="incident-comment"),
    path("channels/", alerts.channel_list, name="channels"),
    path("channels/new/", alerts.choose_type, name="channel-new"),
    path("channels/new/<slug:type_name>/", alerts.new_channel, name="channel-new-type"),
    path(
        "channels/new/<slug:type_name>/preview/",
        alerts.preview_new_channel,
        name="channel-new-preview",
    ),
    path("channels/<uuid:channel_id>/", alerts.channel_page, name="channel"),
    path("channels/<uuid:channel_id>/preview/", alerts.preview_channel, name="channel-preview"),
    path("channels/<uuid:channel_id>/edit/", alerts.edit_channel, name="channel-edit"),
    path("channels/<uuid:channel_id>/delete/", alerts.remove_channel, name="channel-delete"),
    path("channels/<uuid:channel_id>/test/", alerts.test_channel, name="channel-test"),
    path("policies/", alerts.policy_list, name="policies"),
    path("policies/new/", alerts.new_policy, name="policy-new"),
    path("policies/monitors/", alerts.policy_monitors, name="policy-monitors"),
    path("policies/<uuid:policy_id>/", alerts.edit_policy, name="policy"),
    path("policies/<uuid:policy_id>/delete/", alerts.remove_policy, name="policy-delete"),
    path("on-call/", on_call.on_call, name="on-call"),
    path("on-call/contacts/", on_call.change_contacts, name="contacts"),
    path("on-call/new/", on_call.new_schedule, name="schedule-new"),
    path("on-call/<uuid:schedule_id>/", on_call.schedule_page, name="schedule"),
    path("on-call/<uuid:schedule_id>/edit/", on_call.edit_schedule, name="schedule-edit"),
    path("on-call/<uuid:schedule_id>/delete/", on_call.remove_schedule, name="schedule-delete"),
    path("on-call/<uuid:schedule_id>/override/", on_call.new_override, name="override-new"),
    path("on-call/<uuid:schedule_id>/calendar/", on_call.renew_calendar, name="calendar-renew"),
    path("on-call/<uuid:schedule_id>/<slug:key>.ics", on_call.feed, name="on-call-feed"),
    path(
        "on-call/overrides/<uuid:override_id>/cancel/",
        on_call.cancel_override,
        name="override-cancel",
    ),
    path("deliveries/", alerts.delivery_list, name="deliveries"),
    path("deliveries/<uuid:delivery_id>/", alerts.delivery_page, name="delivery"),
    path("deliveries/<uuid:delivery_id>/retry/", alerts.retry, name="delivery-retry"),
    path("status-pages/", statuspages.status_page_list, name="status-pages"),
    path("status-pages/new/", statuspages.new_status_page, name="status-page-new"),
    path("status-pages/<uuid:page_id>/", statuspages.status_page, name="status-page"),
    path(
        "status-pages/<uuid:page_id>/edit/", statuspages.edit_status_page, name="status-page-edit"
    ),
    path("status-pages/<uuid:page_id>/link/", statuspages.new_link, name="status-page-link"),
    path(
        "status-pages/<uuid:page_id>/delete/",
        statuspages.remove_status_page,
        name="status-page-delete",
    ),
    path("status-pages/<uuid:page_id>/embeds/", statuspages.page_embeds, name="status-page-embeds"),
    path(
        "status-pages/<uuid:page_id>/subscribers/",
        statuspages.subscriber_list,
        name="status-page-subscribers",
    ),
    path(
        "subscribers/<uuid:subscriber_id>/delete/",
        statuspages.remove_subscriber,
        name="subscriber-delete",
    ),
    path(
        "status-pages/<uuid:page_id>/components/new/",
        statuspages.new_component,
        name="component-new",
    ),
    path("components/<uuid:component_id>/", statuspages.edit_component, name="component"),
    path(
        "components/<uuid:component_id>/move/", statuspages.shift_component, name="component-move"
    ),
    path(
        "components/<uuid:component_id>/delete/",
        statuspages.remove_component,
        name="component-delete",
    ),
    path(
        "status-pages/<uuid:page_id>/posts/new/<slug:kind>/",
        statuspages.new_post,
        name="status-post-new",
    ),
    path("posts/<uuid:post_id>/", statuspages.post_page, name="status-post"),
    path("posts/<uuid:post_id>/update/", statuspages.update_post_phase, name="status-post-update"),
    path("posts/<uuid:post_id>/edit/", statuspages.edit_post, name="status-post-edit"),
    path("posts/<uuid:post_id>/delete/", statuspages.remove_post, name="status-post-delete"),
    path("post-templates/", statuspages.template_list, name="post-templates"),
    path("post-templates/new/<slug:kind>/", statuspages.new_template, name="post-template-new"),
    path("post-templates/<uuid:template_id>/", statuspages.edit_template, name="post-template"),
    path(
        "post-templates/<uuid:template_id>/delete/",
        statuspages.remove_template,
        name="post-template-delete",
    ),
    path("monitors/<uuid:monitor_id>/badges/", statuspages.monitor_badges, name="monitor-badges"),
    path(
        "monitors/<uuid:monitor_id>/badges/switch/",
        statuspages.switch_badges,
        name="monitor-badges-switch",
    ),
    path("profile/", accounts.profile, name="profile"),
    path("profile/name/", accounts.rename, name="profile-name"),
    path("profile/password/", accounts.change_password, name="profile-password"),
    path("profile/tokens/", accounts.create_token, name="token-new"),
    path("profile/tokens/<uuid:token_id>/revoke/", accounts.revoke_token, name="token-revoke"),
    path("team/", teams.team_page, name="team"),
    path("team/switch/", teams.switch_team, name="team-switch"),
    path("team/new/", teams.new_team, name="team-new"),
    path("team/name/", teams.rename, name="team-name"),
    path("team/leave/", teams.leave, name="team-leave"),
    path("team/members/<int:member_id>/role/", teams.set_role, name="member-role"),
    path("team/members/<int:member_id>/remove/", teams.remove, name="member-remove"),
    path("team/invitations/", teams.invite, name="invitation-new"),
    path("team/invitations/<uuid:invitation_id>/resend/", teams.resend, name="invitation-resend"),
    path("team/invitations/<uuid:invitation_id>/revoke/", teams.revoke, name="invitation-revoke"),
    path("invitations/<slug:token>/", teams.invitation, name="invitation"),
    path("login/", accounts.login, name="login"),
    path("logout/", accounts.logout, name="logout"),
    path("password-reset/", accounts.password_reset, name="password_reset"),
    path("password-reset/sent/", accounts.password_reset_done, name="password_reset_done"),
    path(
        "password-reset/<uidb64>/<token>/",
        accounts.password_reset_confirm,
        name="password_reset_confirm",
    ),
    path("password-reset/done/", accounts.password_reset_complete, name="password_reset_complete"),
]
