

# The application is imported while the database starts and its tables are brought up to date: most of the time of a start. Then it
# waits for the launcher's word; only after it gunicorn loads the application, makes its workers and answers anybody.
import os
import sys


def _wait_for_the_word(word):
    try:
        import django

        django.setup()
        from django.contrib.staticfiles.storage import staticfiles_storage
        from django.db import connections
        from django.utils.functional import empty

        # What was read by now of static files or tables may be what they were before.
        early = staticfiles_storage._wrapped is not empty or any(connections[name].connection is not None for name in connections)
    except Exception:
        # Why, is said when the application is loaded.
        early = True
    if os.read(word, 1) != b"!":
        # The launcher is gone, or does not want it any more.
        os._exit(0)
    os.close(word)
    if early:
        os.execv(sys.executable, sys.orig_argv)


_WORD = os.environ.pop("MATHESAR_LAUNCHER_WORD", None)
if _WORD is not None:
    _wait_for_the_word(int(_WORD))
