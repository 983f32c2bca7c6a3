"""WhiteNoise over folders of files, before an application that says what came through to it.

`WHITENOISE` holds WhiteNoise's own arguments as JSON, and `trees`: pairs of a folder and a prefix.
"""

import json
import os

from whitenoise import WhiteNoise


def application(environ, start_response):
    """Answers every request with its method and its target, as they came."""
    text = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']}\n".encode()
    fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
    start_response("200 OK", [*fields, ("X-Application", "yes")])
    return [text]


def with_whitenoise():
    """The same application with WhiteNoise before it."""
    arguments = json.loads(os.environ["WHITENOISE"])
    trees = arguments.pop("trees")
    if arguments.pop("letters_are_downloads", False):
        arguments["add_headers_function"] = letters_are_downloads
    server = WhiteNoise(application, **arguments)
    for folder, prefix in trees:
        server.add_files(folder, prefix)
    return server


def letters_are_downloads(headers, path, url):
    """What `add_headers_function` is for: fields of one's own for some files."""
    if url.endswith(".letter"):
        headers["Content-Disposition"] = "attachment"
