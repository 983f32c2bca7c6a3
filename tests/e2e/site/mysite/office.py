"""An ordinary site with Django's admin and a browsable API; run, it makes its database and collects.

`OFFICE` is the folder where its database is, and its static files once they are collected.
"""

import os
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application

FOLDER = Path(os.environ["OFFICE"])

settings.configure(
    ALLOWED_HOSTS=["www.example.com"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for-tests-only-and-never-on-a-public-machine",
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "rest_framework",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "database"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    STATIC_URL="/static/",
    STATIC_ROOT=FOLDER / "static",
    STORAGES={
        "staticfiles": {
            "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
        },
    },
)

application = get_wsgi_application()

# Only now: what follows needs the settings.
from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.urls import include, path  # noqa: E402
from rest_framework import permissions, routers, serializers, viewsets  # noqa: E402


class UserSerializer(serializers.ModelSerializer):
    """A user for the API."""

    class Meta:
        model = User
        fields = ["id", "username", "email", "is_staff"]


class Users(viewsets.ModelViewSet):
    """The users, for those who run the site."""

    queryset = User.objects.order_by("id")
    serializer_class = UserSerializer
    permission_classes = [permissions.IsAdminUser]


router = routers.DefaultRouter()
router.register("users", Users)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include(router.urls)),
]

if __name__ == "__main__":
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    User.objects.create_superuser("alice", "alice@example.com", "wonderland")
    call_command("collectstatic", interactive=False, verbosity=0)
