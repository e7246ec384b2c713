# Answers with everything that it was told.
import hashlib
import json
import time


def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(float(environ["QUERY_STRING"]))
    digest, size = hashlib.sha256(), 0
    while chunk := environ["wsgi.input"].read(65536):
        digest.update(chunk)
        size += len(chunk)
    answer = {
        "path": environ["PATH_INFO"],
        "scheme": environ["wsgi.url_scheme"],
        "host": environ.get("HTTP_HOST"),
        "headers": {name: value for name, value in environ.items() if name.startswith("HTTP_")},
        "size": size,
        "sha256": digest.hexdigest(),
        # Long enough to be worth compressing.
        "filler": "all work and no play " * 200,
    }
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
