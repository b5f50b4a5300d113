"""The addresses of what the public sees; most requests are answered before they come here."""

from django.urls import path, re_path

from statuspages import public_views as views
from statuspages import subscription_views as subscriptions

NAME = r"(?P<name>[a-z0-9][a-z0-9_-]{0,79})"

urlpatterns = [
    re_path(rf"^status/{NAME}$", views.to_the_page),
    re_path(rf"^status/{NAME}/subscribe/$", subscriptions.subscribe, name="subscribe"),
    path("subscriptions/<str:token>/", subscriptions.subscription, name="subscription"),
    path("subscriptions/<str:token>/unsubscribe/", subscriptions.one_click, name="one-click"),
    re_path(rf"^status/{NAME}(?P<rest>[/.].*)$", views.page_document, name="public-page"),
    re_path(
        r"^badge/(?P<key>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?P<kind>[a-z]+)\.svg$",
        views.badge,
        name="badge",
    ),
]
