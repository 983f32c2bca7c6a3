#!/bin/sh
# The start command of a Django site on App Service for Linux (built-in Python image): set it as
# `startup.sh` under Configuration > General settings. The platform runs it at every start.
set -eu

# gunicorn gets a private socket; forebay owns the public port, PORT. Over the socket gunicorn
# learns the client from the PROXY protocol, and REMOTE_ADDR is the visitor.
socket=/tmp/gunicorn.sock
gunicorn --bind "unix:$socket" --proxy-protocol v2 --workers 4 mysite.wsgi &

exec ./forebay proxy --upstream "unix:$socket" --proxy-protocol v2 --concurrency 4 --host www.example.com
