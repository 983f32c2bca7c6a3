"""A site of one page and static files, which starts fast: its settings and its URLs."""

import os
from pathlib import Path

from django.http import HttpResponse
from django.urls import path

SECRET_KEY = "for-tests-only"
DEBUG = False
ALLOWED_HOSTS = ["www.example.com"]
INSTALLED_APPS = ["django.contrib.staticfiles"]
MIDDLEWARE = []
ROOT_URLCONF = __name__
# A CDN in front, and a server that cuts the name of the application off.
STATIC_URL = "https://cdn.example.com/app/assets/"
FORCE_SCRIPT_NAME = "/app"
STATIC_ROOT = Path(os.environ.get("STATIC_ROOT", "collected"))

print("settings may talk")

urlpatterns = [path("", lambda request: HttpResponse(f"home of {request.META['REMOTE_ADDR']}"))]
