# A Django site in a container of its own, for App Service, Container Apps or Kubernetes. Take it into
# the site's repository as Dockerfile; requirements.txt has gunicorn and forebay's wheel, which
# `deploy/build.sh wheel wheels` makes, and a .dockerignore keeps out what is no part of the site.
#
#   docker build --tag site .
#   docker run --read-only --tmpfs /tmp --publish 8000:8000 --env-file .env site
FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY requirements.txt ./
COPY wheels wheels
RUN pip install --no-cache-dir --requirement requirements.txt
COPY . .
# Static files are collected and compressed once, here, and served from memory.
RUN SECRET_KEY=only-to-collect python manage.py collectstatic --no-input \
    && forebay compress staticfiles \
    && useradd --system --no-create-home --uid 10001 site
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["forebay", "status"]
# This runs no migrations. With a Procfile (web, release) write ["forebay", "run"] in its place: a command
# takes the place of the whole Procfile.
CMD ["forebay", "run", "--", "gunicorn", "--worker-class", "gthread", "--threads", "8", "mysite.wsgi"]
