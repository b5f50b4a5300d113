from django.urls import path

from monitors.models import PingKind
from monitors.ping_views import ping

# With and without the last slash: both are in use by existing clients, and a redirect would lose
# a POST's body.
urlpatterns = [
    path("<uuid:key>", ping, name="ping"),
    path("<uuid:key>/", ping),
    path("<uuid:key>/start", ping, {"kind": PingKind.START}),
    path("<uuid:key>/fail", ping, {"kind": PingKind.FAIL}),
    path("<uuid:key>/log", ping, {"kind": PingKind.LOG}),
    path("<uuid:key>/<int:exit_status>", ping),
]
