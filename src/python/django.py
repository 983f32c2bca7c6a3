"""Prints what forebay wants to know of Django's settings, as JSON between two marks.

Run by forebay in the site's directory with the site's own Python. It loads the settings and nothing
else, and prints nothing that could be a secret.
"""

import json
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
}
sys.stdout.write(MARK + json.dumps(answer) + MARK)
sys.stdout.flush()
