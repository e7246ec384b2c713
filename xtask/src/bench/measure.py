# Runs a command and prints, as JSON, what it and everything below it used.
import json
import os
import resource
import subprocess
import sys
import time

begun = time.monotonic()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
_, status = os.waitpid(child.pid, 0)
wall = time.monotonic() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "code": os.waitstatus_to_exitcode(status),
    "wall": wall,
    "cpu": used.ru_utime + used.ru_stime,
    "peak_kib": used.ru_maxrss,
}))
