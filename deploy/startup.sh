#!/bin/sh
# The start command of a Django site on App Service for Linux (built-in Python image): set it as
# `startup.sh` under Configuration > General settings. The platform runs it at every start.
set -eu

# forebay owns the public port, PORT, and starts gunicorn behind a private socket. Over the socket
# gunicorn learns the client from the PROXY protocol, and REMOTE_ADDR is the visitor.
export FOREBAY_UPSTREAM=unix:/tmp/gunicorn.sock FOREBAY_PROXY_PROTOCOL=v2
exec ./forebay run --host www.example.com -- gunicorn --proxy-protocol v2 --workers 4 mysite.wsgi
