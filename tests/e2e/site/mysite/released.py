"""A Django site that serves its collected files by WhiteNoise, as most do; run, it collects them.

`STATIC_SOURCE` is where they come from, `STATIC_ROOT` where they go, `WHITENOISE_ROOT` what is served
at `/`.
"""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path

settings.configure(
    ALLOWED_HOSTS=["www.example.com"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.staticfiles"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "whitenoise.middleware.WhiteNoiseMiddleware",
    ],
    SECRET_KEY="for-tests-only-and-never-on-a-public-machine",
    STATIC_URL="/static/",
    STATIC_ROOT=os.environ["STATIC_ROOT"],
    STATICFILES_DIRS=[os.environ["STATIC_SOURCE"]],
    STORAGES={
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    },
    WHITENOISE_ROOT=os.environ["WHITENOISE_ROOT"],
)


def anything(request):
    """Answers every request with its method and its target."""
    text = f"{request.method} {request.get_full_path()}\n"
    return HttpResponse(text, content_type="text/plain", headers={"X-Application": "yes"})


urlpatterns = [re_path("", anything)]

application = get_wsgi_application()

if __name__ == "__main__":
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)
