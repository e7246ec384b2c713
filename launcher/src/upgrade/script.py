# Run by the launcher with a release's interpreter, in its folder and environment: its migrations, its SQL in connected
# databases, a write and a read. A request on standard input; on standard output one JSON object a line. What the application
# itself says goes to standard error, and so to the log.
import json
import os
import runpy
import sys
import threading

request = json.load(sys.stdin)
options = os.environ.get("PGOPTIONS")
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def tell(**what):
    answers.write(json.dumps(what) + "\n")
    answers.flush()


def asks_to_write(of_own):
    """The private cluster is closed to whoever does not ask to write; a pooler before another server may know no options."""
    if of_own and request["own_host"] is not None:
        os.environ["PGOPTIONS"] = f"{options or ''} {request['writes']}".strip()
    elif options is None:
        os.environ.pop("PGOPTIONS", None)
    else:
        os.environ["PGOPTIONS"] = options


def migrate():
    tell(begin="migrate")
    try:
        runpy.run_module("mathesar.install", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    tell(done="migrate")


def install(database, result):
    from django.db import connection

    try:
        database.install_sql()
        result["ok"] = True
    except Exception as error:  # noqa: BLE001 whatever it is, it is told
        import psycopg

        result["why"] = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        # Reached, and its SQL failed: no matter of a network or of rights.
        result["broken"] = isinstance(error, psycopg.Error) and not isinstance(error, psycopg.OperationalError)
    finally:
        connection.close()


def sql():
    from mathesar.models.base import Database

    own = request["own_host"]
    for database in Database.objects.select_related("server").order_by("id"):
        is_own = own is not None and database.server.host == own
        if is_own and request["sql"] == "others":
            continue
        place = {"database": database.name, "host": database.server.host, "own": is_own}
        tell(begin="sql", **place)
        asks_to_write(is_own)
        result = {}
        # One that hangs must not hold up the others.
        thread = threading.Thread(target=install, args=(database, result), daemon=True)
        thread.start()
        thread.join(request["patience"])
        if thread.is_alive():
            result = {"why": f"no answer within {request['patience']:.0f} s"}
        asks_to_write(True)
        tell(done="sql", **place, **result)


def write_and_read():
    from django.contrib.sessions.backends.db import SessionStore

    tell(begin="write")
    session = SessionStore()
    session["launcher"] = "health"
    session.save()
    found = SessionStore(session_key=session.session_key).get("launcher")
    session.delete()
    if found != "health":
        raise SystemExit("what was written was not read again")
    tell(done="write")


asks_to_write(True)
if request["migrate"]:
    migrate()
import django  # noqa: E402

django.setup()
if request["own_host"] is not None:
    from django.db import connections  # noqa: E402

    # Mathesar writes down in its own database what it has done in another; each thread has a connection of its own.
    own = connections.settings["default"].setdefault("OPTIONS", {})
    own["options"] = f"{own.get('options', options or '')} {request['writes']}".strip()
if request["sql"]:
    sql()
if request["write"]:
    write_and_read()
tell(done="all")
# A thread that hangs in a connection would keep the process.
answers.close()
sys.stderr.flush()
os._exit(0)
