# Written by the Mathesar launcher at every start of gunicorn; changes are lost.
import ipaddress

# Newer gunicorns open a control socket of their own; nobody uses it here. Older ones do not know this name.
control_socket_disable = True

# Seen, and taken away below, rather than dropped unseen: X_Forwarded_For tells of a proxy as well.
header_map = "dangerous"

_PROXIES = [ipaddress.ip_network(proxy, strict=False) for proxy in {proxies}]
# Peers of a unix socket have no address; who may connect is a matter of its folder's permissions.
_TRUST_UNIX = {trust_unix}
_FORWARDED = ("X-FORWARDED-", "FORWARDED", "X-REAL-IP")


def when_ready(server):
    # The sockets are the launcher's: gunicorn must not remove their paths when it ends.
    server.systemd = True


def _trusted(peer):
    if not isinstance(peer, tuple):
        return _TRUST_UNIX
    try:
        address = ipaddress.ip_address(peer[0].split("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in proxy for proxy in _PROXIES)


def pre_request(worker, req):
    # Where `-` and `_` become one, a header with `_` would pass for another.
    kept = [(n, v) for n, v in req.headers if "_" not in n]
    # Django believes X-Forwarded-Proto from anyone, so strangers' headers end here.
    if _trusted(req.peer_addr):
        for name, value in kept:
            if name == "X-FORWARDED-PROTO":
                req.scheme = "https" if value.strip().lower() == "https" else "http"
    else:
        req.scheme = "http"
        kept = [(n, v) for n, v in kept if not n.upper().startswith(_FORWARDED)]
    if len(kept) != len(req.headers):
        kept.append(("X-FORWARDED-REMOVED", "1"))
        req.headers = kept
