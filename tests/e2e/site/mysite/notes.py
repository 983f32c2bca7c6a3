"""A small Django site that keeps account of what it does, for tests and benchmarks that count.

It starts in a fraction of the time that the whole site takes, so that workers can be replaced often.
`NOTES` names the file that each request is written down in.
"""

import os
import time

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

settings.configure(
    ALLOWED_HOSTS=["www.example.com"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    SECRET_KEY="for-tests-only-and-never-on-a-public-machine",
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
)


@csrf_exempt
def note(request, number):
    """Writes the request's number down, works for so many milliseconds, says back what it got."""
    content = request.body
    write_down(f"{request.method} {number}\n")
    time.sleep(int(request.GET.get("work", "0")) / 1000)
    answer = f"{request.method} {number} {len(content)}\n".encode() + content
    return HttpResponse(answer, content_type="application/octet-stream")


def write_down(line):
    """One write of one line, which the kernel does not mix with another's."""
    file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@csrf_exempt
def length(request):
    """Reads all content and says how much it was."""
    return HttpResponse(f"{len(request.body)}\n", content_type="text/plain")


def large(request, size):
    """So many bytes at once."""
    return HttpResponse(bytes(size), content_type="application/octet-stream")


def home(request):
    """The shortest answer; the health check asks for it too."""
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns = [
    path("", home),
    path("healthz", home),
    path("note/<int:number>/", note),
    path("length/", length),
    path("large/<int:size>/", large),
]

application = get_wsgi_application()
asgi_application = get_asgi_application()
