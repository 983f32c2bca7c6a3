"""Views that use what a proxy in front can get wrong."""

import hashlib
import time
from pathlib import Path
from urllib.parse import quote as quote_path

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from rest_framework.decorators import api_view, throttle_classes
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle


def home(request):
    """The front page."""
    return HttpResponse("home\n", content_type="text/plain")


def health(request):
    """What the platform's health check asks for."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_required
def account(request):
    """A page for those who logged in."""
    return HttpResponse(f"account of {request.user}\n", content_type="text/plain")


@api_view(["GET"])
@throttle_classes([AnonRateThrottle])
def quote(request):
    """A throttled API view."""
    return Response({"quote": "so it goes"})


@csrf_exempt
def echo(request):
    """What Django makes of the request."""
    body = request.body
    return JsonResponse(
        {
            "method": request.method,
            "path": request.get_full_path(),
            "host": request.get_host(),
            "scheme": request.scheme,
            "is_secure": request.is_secure(),
            "absolute_uri": request.build_absolute_uri(),
            "remote_addr": request.META.get("REMOTE_ADDR"),
            "script_name": request.META.get("SCRIPT_NAME"),
            "meta": {k: v for k, v in request.META.items() if k.startswith("HTTP_")},
            "content_type": request.META.get("CONTENT_TYPE"),
            "body_bytes": len(body),
            "body_sha256": hashlib.sha256(body).hexdigest(),
        }
    )


def slow(request):
    """Answers after some seconds."""
    seconds = float(request.GET.get("seconds", "1"))
    time.sleep(seconds)
    return HttpResponse(f"slept {seconds}\n", content_type="text/plain")


def download(request):
    """Streams bytes of a known pattern: 0, 1, … 250, 0, …"""
    size = int(request.GET.get("bytes", "1000"))
    pattern = bytes(range(251)) * 261
    pieces = (pattern[: size - at] for at in range(0, size, len(pattern)))
    return stream(request, pieces, "application/octet-stream")


def events(request):
    """Server-Sent Events: the first at once, the last when a file is there."""
    awaited = Path(request.GET["until"])

    def produce():
        yield "data: first\n\n"
        for _ in range(3000):
            if awaited.exists():
                break
            time.sleep(0.02)
        yield "data: last\n\n"

    return stream(request, produce(), "text/event-stream")


def stream(request, pieces, content_type):
    """Sends pieces as they come, under WSGI and under ASGI."""
    if isinstance(request, ASGIRequest):
        pieces = from_thread(pieces)
    return StreamingHttpResponse(pieces, content_type=content_type)


async def from_thread(pieces):
    """The same pieces, without holding the event loop."""
    done = object()
    while (piece := await sync_to_async(next)(pieces, done)) is not done:
        yield piece


@csrf_exempt
@require_POST
def upload(request):
    """Takes a file from a form."""
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse({"name": file.name, "bytes": file.size, "sha256": digest.hexdigest()})


def media(request, name):
    """A file that only some may have: the proxy in front sends it."""
    response = HttpResponse(headers={"Content-Disposition": "attachment", "X-Checked": "yes"})
    del response["Content-Type"]
    if root := request.GET.get("root"):
        response["X-Sendfile"] = f"{root}/{name}"
    else:
        response["X-Accel-Redirect"] = "/protected/" + quote_path(name)
    return response
