"""Prints what forebay wants to know of Django's settings, as JSON between two marks.

Run by forebay in the site's directory with the site's own Python. It loads the settings and nothing
else, and prints nothing that could be a secret.
"""

import json
import platform
import sys

sys.path.insert(0, "")

from django.conf import settings  # noqa: E402

MARK = "\n<forebay-asks>\n"


def text(name):
    value = getattr(settings, name, None)
    return None if value is None else str(value)


def storage():
    storages = getattr(settings, "STORAGES", None) or {}
    named = storages.get("staticfiles", {}).get("BACKEND")
    return str(named or getattr(settings, "STATICFILES_STORAGE", "") or "") or None


def value(name):
    return getattr(settings, name, None)


def texts(name):
    return [str(one) for one in value(name) or []]


def database(alias, written):
    """Where a database is and how it is used; of a password the length and nothing else."""
    options = written.get("OPTIONS") or {}
    password, user = written.get("PASSWORD"), str(written.get("USER") or "")
    age = written.get("CONN_MAX_AGE", 0)
    return {
        "alias": str(alias),
        "engine": str(written.get("ENGINE") or ""),
        "host": str(written.get("HOST") or ""),
        "port": str(written.get("PORT") or ""),
        "name": str(written.get("NAME") or ""),
        "user": user,
        "password_length": None if password is None else len(str(password)),
        "options": sorted(str(name) for name in options),
        "sslmode": None if options.get("sslmode") is None else str(options["sslmode"]),
        "sslrootcert": None if options.get("sslrootcert") is None else str(options["sslrootcert"]),
        "prepares": options.get("prepare_threshold") is not None,
        "is_kept_for_ever": age is None,
        "max_age": int(age or 0),
        "is_checked": bool(written.get("CONN_HEALTH_CHECKS")),
        "has_server_side_cursors": not written.get("DISABLE_SERVER_SIDE_CURSORS"),
    }


def details():
    import django

    header = value("SECURE_PROXY_SSL_HEADER")
    caches = value("CACHES") or {}
    secret = str(value("SECRET_KEY") or "")
    databases = value("DATABASES") or {}
    return {
        "python": platform.python_version(),
        "django": django.get_version(),
        "csrf_trusted_origins": texts("CSRF_TRUSTED_ORIGINS"),
        "proxy_ssl_header": [str(part) for part in header] if header else None,
        "ssl_redirect": bool(value("SECURE_SSL_REDIRECT")),
        "redirect_exempt": texts("SECURE_REDIRECT_EXEMPT"),
        "uses_forwarded_host": bool(value("USE_X_FORWARDED_HOST")),
        "middleware": texts("MIDDLEWARE"),
        "apps": texts("INSTALLED_APPS"),
        "session_cookie_secure": bool(value("SESSION_COOKIE_SECURE")),
        "csrf_cookie_secure": bool(value("CSRF_COOKIE_SECURE")),
        "session_engine": str(value("SESSION_ENGINE") or ""),
        "caches": {str(name): str(cache.get("BACKEND") or "") for name, cache in caches.items()},
        "secret_key_length": len(secret),
        "databases": [database(alias, written) for alias, written in databases.items()],
    }


def or_why(ask):
    """What a function says, or the class of what it raised; the rest does not depend on it."""
    try:
        return ask()
    except Exception as why:
        return type(why).__name__


max_age = getattr(settings, "WHITENOISE_MAX_AGE", None)
middleware = [str(name) for name in getattr(settings, "MIDDLEWARE", None) or []]
answer = {
    "static_url": text("STATIC_URL"),
    "static_root": text("STATIC_ROOT") or None,
    "script_name": text("FORCE_SCRIPT_NAME"),
    "storage": storage(),
    "whitenoise_root": text("WHITENOISE_ROOT") or None,
    "whitenoise_max_age": max_age if isinstance(max_age, int) else None,
    "whitenoise_index_file": text("WHITENOISE_INDEX_FILE"),
    "whitenoise_prefix": text("WHITENOISE_STATIC_PREFIX") or None,
    "has_whitenoise": any("whitenoise" in name.lower() for name in middleware),
    "allowed_hosts": [str(host) for host in getattr(settings, "ALLOWED_HOSTS", None) or []],
    "debug": bool(settings.DEBUG),
    "details": or_why(details),
}
sys.stdout.write(MARK + json.dumps(answer) + MARK)
sys.stdout.flush()
