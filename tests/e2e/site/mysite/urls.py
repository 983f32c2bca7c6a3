"""The pages of the site."""

from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.home),
    path("healthz", views.health),
    path("account/", views.account),
    path("accounts/", include("django.contrib.auth.urls")),
    path("stripe/", include("djstripe.urls", namespace="djstripe")),
    path("api/quote/", views.quote),
    path("echo/", views.echo),
    path("slow/", views.slow),
    path("download/", views.download),
    path("events/", views.events),
    path("upload/", views.upload),
    path("media/<path:name>", views.media),
]
