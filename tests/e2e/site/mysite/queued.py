"""The small site with a queue: settings, URLs and the celery application, whose broker is a folder."""

import time
from pathlib import Path

from celery import Celery
from django.http import HttpResponse
from django.urls import path

from .small import *  # noqa: F403
from .small import urlpatterns as pages

ROOT_URLCONF = __name__
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]

queue = Path("queue")
queue.mkdir(exist_ok=True)
app = Celery("mysite", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(queue),
        "data_folder_out": str(queue),
        "control_folder": str(queue / "control"),
    },
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_hijack_root_logger=True,
)


@app.task
def write(name, seconds):
    """Writes `name.begun`, works for a while, and writes `name.done`."""
    Path(f"{name}.begun").touch()
    time.sleep(seconds)
    Path(f"{name}.done").touch()


def enqueue(request, name, seconds):
    write.delay(name, seconds)
    return HttpResponse("queued")


def users(request):
    from django.contrib.auth.models import User

    return HttpResponse(f"{User.objects.count()} users")


urlpatterns = [
    *pages,
    path("enqueue/<name>/<int:seconds>", enqueue),
    path("users", users),
]
