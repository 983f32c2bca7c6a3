"""An ordinary site that is meant to be reached over HTTPS as www.example.com, and nothing else."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ.get("SECRET_KEY", "for-tests-only-and-never-on-a-public-machine")
DEBUG = False
ALLOWED_HOSTS = ["www.example.com"]

SECURE_SSL_REDIRECT = True
SECURE_REDIRECT_EXEMPT = [r"^echo/$"]  # says which scheme it saw, so it answers to both
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "djstripe",
    "mysite",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
ASGI_APPLICATION = "mysite.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]

# Host, port and user come from libpq's own variables.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("PGDATABASE", "mysite"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# One cache for all workers, so that a throttle counts the same everywhere.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
    }
}

LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/account/"
TIME_ZONE = "UTC"
USE_TZ = True

REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"anon": "3/min"}}

STRIPE_LIVE_MODE = False
# In the form of a key; nothing here may ask Stripe.
STRIPE_TEST_SECRET_KEY = "sk_test_" + 24 * "0"
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
# Its migrations take a minute of computing; tables made from its models are the same tables.
MIGRATION_MODULES = {"djstripe": None}
