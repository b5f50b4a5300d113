"""The addresses under /api/v1/."""

from django.urls import path, re_path

from accounts import api as accounts
from alerts import api as alerts
from alerts.on_call import api as on_call
from incidents import api as incidents
from incidents.maintenance import api as maintenance
from monitors import api as monitors
from statuspages import api as statuspages
from uptime.api.docs import Docs, schema_document
from uptime.api.events import Events
from uptime.api.views import NoSuchAddress

app_name = "api"

urlpatterns = [
    path("schema/", schema_document, name="schema"),
    path("docs/", Docs.as_view(), name="docs"),
    path("audit/", accounts.AuditTrail.as_view()),
    path("monitors/", monitors.Monitors.as_view(), name="monitors"),
    path("monitors/bulk/", monitors.BulkMonitors.as_view()),
    path("monitors/<uuid:id>/", monitors.OneMonitor.as_view(), name="monitor"),
    path("monitors/<uuid:id>/pause/", monitors.PauseMonitor.as_view()),
    path("monitors/<uuid:id>/resume/", monitors.ResumeMonitor.as_view()),
    path("monitors/<uuid:id>/snooze/", monitors.SnoozeMonitor.as_view()),
    path("monitors/<uuid:id>/unsnooze/", monitors.UnsnoozeMonitor.as_view()),
    path("monitors/<uuid:id>/check/", monitors.CheckMonitor.as_view()),
    path("monitors/<uuid:id>/results/", monitors.MonitorResults.as_view()),
    path("monitors/<uuid:id>/history/", monitors.MonitorHistory.as_view()),
    path("monitors/<uuid:id>/stats/", monitors.MonitorStatistics.as_view()),
    path("stats/", monitors.GroupStatistics.as_view()),
    path("locations/", monitors.Locations.as_view()),
    path("incidents/", incidents.Incidents.as_view()),
    path("incidents/<uuid:id>/", incidents.OneIncident.as_view()),
    path("incidents/<uuid:id>/acknowledge/", incidents.AcknowledgeIncident.as_view()),
    path("incidents/<uuid:id>/assign/", incidents.AssignIncident.as_view()),
    path("incidents/<uuid:id>/snooze/", incidents.SnoozeIncident.as_view()),
    path("incidents/<uuid:id>/unsnooze/", incidents.UnsnoozeIncident.as_view()),
    path("incidents/<uuid:id>/resolve/", incidents.ResolveIncident.as_view()),
    path("incidents/<uuid:id>/updates/", incidents.IncidentUpdates.as_view()),
    path("maintenance/", maintenance.Windows.as_view()),
    path("maintenance/<uuid:id>/", maintenance.OneWindow.as_view()),
    path("maintenance/<uuid:id>/start/", maintenance.StartWindow.as_view()),
    path("maintenance/<uuid:id>/extend/", maintenance.ExtendWindow.as_view()),
    path("maintenance/<uuid:id>/end/", maintenance.EndWindow.as_view()),
    path("maintenance/<uuid:id>/occurrences/", maintenance.Occurrences.as_view()),
    path("channels/", alerts.Channels.as_view()),
    path("channels/<uuid:id>/", alerts.OneChannel.as_view()),
    path("channels/<uuid:id>/test/", alerts.CheckChannel.as_view()),
    path("policies/", alerts.Policies.as_view()),
    path("policies/<uuid:id>/", alerts.OnePolicy.as_view()),
    path("schedules/", on_call.Schedules.as_view()),
    path("schedules/<uuid:id>/", on_call.OneSchedule.as_view()),
    path("schedules/<uuid:id>/on-call/", on_call.OnCall.as_view()),
    path("schedules/<uuid:id>/shifts/", on_call.Shifts.as_view()),
    path("schedules/<uuid:id>/overrides/", on_call.Overrides.as_view()),
    path("schedules/<uuid:id>/overrides/<uuid:override_id>/", on_call.OneOverride.as_view()),
    path("contacts/", on_call.Contacts.as_view()),
    path("contacts/<int:id>/", on_call.OneContact.as_view()),
    path("deliveries/", alerts.Deliveries.as_view()),
    path("deliveries/<uuid:id>/", alerts.OneDelivery.as_view()),
    path("deliveries/<uuid:id>/retry/", alerts.RetryDelivery.as_view()),
    path("status-pages/", statuspages.StatusPages.as_view()),
    path("status-pages/<uuid:id>/", statuspages.OneStatusPage.as_view()),
    path("status-pages/<uuid:id>/components/", statuspages.PageComponents.as_view()),
    path("status-pages/<uuid:id>/posts/", statuspages.PagePosts.as_view()),
    path("components/<uuid:id>/", statuspages.OneComponent.as_view()),
    path("posts/<uuid:id>/", statuspages.OnePost.as_view()),
    path("posts/<uuid:id>/updates/", statuspages.PostUpdates.as_view()),
    path("events/", Events.as_view()),
    re_path("", NoSuchAddress.as_view()),
]
