

# Who may see the first page. Until an administrator exists, whoever fills in that page becomes one; so it answers the user
# that runs Mathesar, and root, and nobody else: no other user of this machine, and nobody who comes through a proxy.
import os
import socket
import struct
import sys

# Wherever it stands in the path as the application sees it: decoded, after SCRIPT_NAME. No other page has it in its name.
_FIRST_PAGE = "complete_installation"
# All that browsers send by themselves. Of what proxies add there is no whole list, so any other header is taken for a proxy's.
# pre_request leaves X-Forwarded-Removed behind where it has taken others away.
_OF_BROWSERS = frozenset(
    "HOST CONNECTION KEEP_ALIVE USER_AGENT REFERER ORIGIN COOKIE COOKIE2 AUTHORIZATION FROM DATE EXPECT RANGE TE TRAILER"
    " TRANSFER_ENCODING UPGRADE UPGRADE_INSECURE_REQUESTS HTTP2_SETTINGS CACHE_CONTROL PRAGMA DNT PRIORITY PURPOSE X_PURPOSE X_MOZ"
    " SAVE_DATA DEVICE_MEMORY DOWNLINK DPR ECT RTT VIEWPORT_WIDTH WIDTH ALT_USED A_IM X_REQUESTED_WITH X_CSRFTOKEN".split()
)
_FAMILIES_OF_BROWSERS = ("ACCEPT", "ACCESS_CONTROL_REQUEST_", "CONTENT_", "IF_", "SEC_")
_REFUSED = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Mathesar has no administrator yet</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em}code{background:#8882;padding:.1em .3em}</style>
<h1>Mathesar has no administrator yet</h1>
<p>Whoever fills in this page becomes the administrator, so it is only shown to the user that runs Mathesar, in a browser on the
same machine and without a proxy between.</p>
<p>Make the administrator with <code>mathesar admin create</code>, as that user, and come back.</p>
</html>
"""


def post_worker_init(worker):
    application = worker.wsgi

    def guarded(environ, start_response):
        path = environ.get("PATH_INFO", "")
        if _FIRST_PAGE not in path.lower() or _is_owner(environ) or _admin_exists():
            return application(environ, start_response)
        worker.log.warning("the first page was refused: neither the user that runs Mathesar nor root asked for it directly%s", _why(environ))
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(_REFUSED))), ("Cache-Control", "no-store")]
        start_response("403 Forbidden", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [_REFUSED]

    worker.wsgi = guarded


def _admin_exists():
    # As Mathesar itself finds out; with an administrator there is nothing to guard, and Mathesar leads elsewhere.
    try:
        from django.contrib.auth import get_user_model
        from django.db import connection

        try:
            return get_user_model().objects.filter(is_superuser=True).exists()
        finally:
            connection.close()
    except Exception:
        # The database is away, for example.
        return False


def _is_owner(environ):
    if _of_proxies(environ):
        return False
    try:
        # Twice: a connection that is just being closed can look like root's for a moment, but none comes back.
        return all(_user_of(environ["gunicorn.socket"]) in _owners() for _ in range(2))
    except (OSError, ValueError):
        return False


def _of_proxies(environ):
    names = (name.removeprefix("HTTP_") for name in environ if name.startswith("HTTP_"))
    return [name for name in names if name not in _OF_BROWSERS and not name.startswith(_FAMILIES_OF_BROWSERS)]


def _why(environ):
    found = ", ".join(_of_proxies(environ))[:100]
    return f" (no browser sends the headers {found})" if found else ""


def _owners():
    own = os.geteuid()
    if own == 65534 and sys.platform == "linux":
        # In a user namespace this number stands for everybody who has none there.
        with open("/proc/self/uid_map") as mapping:
            if mapping.read().split() != ["0", "0", "4294967295"]:
                return {0}
    return {0, own}


def _user_of(connection):
    """The user at the other end; None where that cannot be told."""
    if connection.family == socket.AF_UNIX:
        return _user_of_unix(connection)
    here, there = ((_plain(address), port) for address, port, *_ in (connection.getsockname(), connection.getpeername()))
    if not (here[0].is_loopback and there[0].is_loopback):
        return None
    if sys.platform == "darwin":
        # It tells nobody whose a connection is. That it comes from this machine, and from no proxy that says so, has to do.
        return os.geteuid()
    return _user_of_tcp(here, there)


def _user_of_unix(connection):
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    pid_uid_gid = "iII"
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(pid_uid_gid))
    return struct.unpack(pid_uid_gid, said)[1]


def _user_of_tcp(here, there):
    found = set()
    for table, words in (("/proc/net/tcp", _words_of_ipv4), ("/proc/net/tcp6", _words_of_ipv6)):
        # The other end's line: its address is the local one there.
        ends = [words(address) + f":{port:04X}" for address, port in (there, here)]
        try:
            with open(table) as lines:
                fields = (line.split() for line in lines)
                found |= {(line[3], int(line[7]), line[9]) for line in fields if line[1:3] == ends}
        except FileNotFoundError:
            continue
    if len(found) != 1:
        return None
    state, user, inode = found.pop()
    # One that its process has closed has no owner any more, and then root's number stands there.
    return user if state == "01" and inode != "0" else None


def _plain(address):
    address = ipaddress.ip_address(address)
    return getattr(address, "ipv4_mapped", None) or address


def _words_of_ipv4(address):
    return _words(address.packed) if address.version == 4 else ""


def _words_of_ipv6(address):
    return _words(address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed)


def _words(packed):
    # The kernel writes 32 bits at a time, as numbers of this machine.
    return "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", packed))
