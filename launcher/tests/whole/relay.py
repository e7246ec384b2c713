# A reverse proxy on loopback: `relay.py PORT [HEADER…]` prints its own port, and adds these headers to every request.
import socket
import sys
import threading

port, *headers = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
added = "".join(f"{header}\r\n" for header in headers).encode()


def serve(visitor):
    with visitor, socket.create_connection(("127.0.0.1", int(port))) as server:
        head = b""
        while b"\r\n\r\n" not in head:
            head += visitor.recv(65536)
        first, rest = head.split(b"\r\n", 1)
        server.sendall(first + b"\r\n" + added + rest)
        while piece := server.recv(65536):
            visitor.sendall(piece)


while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
