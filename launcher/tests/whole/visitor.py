# A visitor, as some OS user. `visitor.py ask FAMILY ADDRESS [PORT]`: the request on standard input, the answer on standard
# output. `visitor.py leave N FAMILY ADDRESS [PORT]`: sends it N times, and hangs up at once.
import socket
import sys


def connect(family, address, port=None):
    stream = socket.socket(getattr(socket, family))
    stream.settimeout(60)
    stream.connect(address if port is None else (address, int(port)))
    return stream


what, *rest = sys.argv[1:]
request = sys.stdin.buffer.read()
if what == "ask":
    with connect(*rest) as stream:
        stream.sendall(request)
        while piece := stream.recv(65536):
            sys.stdout.buffer.write(piece)
else:
    for _ in range(int(rest[0])):
        stream = connect(*rest[1:])
        stream.sendall(request)
        stream.close()
