"""Prints gunicorn's configuration as JSON between two marks, without loading the application.

Run by forebay with the site's own Python and the arguments that gunicorn is started with, so that
its configuration file, GUNICORN_CMD_ARGS and its defaults count as they will.
"""

import json
import sys

sys.argv[0] = "gunicorn"

from gunicorn.app.wsgiapp import WSGIApplication  # noqa: E402

MARK = "\n<forebay-asks>\n"

cfg = WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]").cfg
answer = {
    "workers": cfg.workers,
    "threads": cfg.threads,
    "worker_class": str(cfg.worker_class_str),
    "worker_connections": cfg.worker_connections,
    "timeout": cfg.timeout,
    "graceful_timeout": cfg.graceful_timeout,
    "keepalive": cfg.keepalive,
    # Up to gunicorn 24.0 a switch, and version 1.
    "proxy_protocol": cfg.proxy_protocol,
}
sys.stdout.write(MARK + json.dumps(answer) + MARK)
sys.stdout.flush()
