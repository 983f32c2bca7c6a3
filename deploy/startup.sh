#!/bin/sh
# The Startup Command of a Django site on App Service (built-in Python image): `startup.sh`, with
# forebay's wheel in requirements.txt. The platform runs it in the site's directory and environment.
# Without anything of your own to do here, the Startup Command `forebay run` is all.
set -eu

# What must be there before the site starts goes here. With a Procfile that has `web` and `release` lines
# the last line is `exec forebay run`: a command behind `--` takes the place of the whole Procfile.

# forebay has the public port, PORT, and knows the site's name from WEBSITE_HOSTNAME; it starts
# gunicorn on a private socket and tells it the visitor's address.
exec forebay run -- gunicorn --workers 4 mysite.wsgi
