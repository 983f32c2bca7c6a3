"""Loads the application as a worker does, and prints how long it took and what it took.

Run by forebay's doctor in the site's directory with the site's own Python: once, in a process that
ends behind it. `sys.argv` names the module of the application.
"""

import importlib
import json
import resource
import sys
import time

sys.path.insert(0, "")

MARK = "\n<forebay-asks>\n"

began = time.perf_counter()
if len(sys.argv) > 1:
    importlib.import_module(sys.argv[1])
else:
    import django

    django.setup()
answer = {
    "seconds": time.perf_counter() - began,
    # KiB on Linux.
    "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}
sys.stdout.write(MARK + json.dumps(answer) + MARK)
sys.stdout.flush()
