"""The site for uvicorn, with a WebSocket that answers what it hears."""

import json
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

django_application = get_asgi_application()


async def application(scope, receive, send):
    """Sends WebSockets to `echo`, everything else to Django."""
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
    else:
        await django_application(scope, receive, send)


async def echo(scope, receive, send):
    """Says first what it knows of the client, then repeats every message."""
    await receive()
    await send({"type": "websocket.accept"})
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    known = {
        "scheme": scope["scheme"],
        "path": scope["path"],
        "client": scope["client"],
        "headers": headers,
    }
    await send({"type": "websocket.send", "text": json.dumps(known)})
    while (message := await receive())["type"] == "websocket.receive":
        message["type"] = "websocket.send"
        await send(message)
    print("a websocket was closed with", message["code"], flush=True)
