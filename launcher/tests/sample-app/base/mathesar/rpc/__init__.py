"""POST /api/rpc/v0/: JSON-RPC 2.0. HTTP basic authentication, or a session with X-CSRFToken. Errors come as HTTP 200."""

import base64
import json

from django.contrib.auth import authenticate
from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from mathesar.models import Database

METHODS = {}


def method(name, admin=False):
    def register(function):
        METHODS[name] = (function, admin)
        return function

    return register


def basic_user(request):
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(token).decode().partition(":")
    except ValueError:
        return None
    return authenticate(request, username=name, password=password)


@csrf_exempt
def endpoint(request):
    if "Authorization" in request.headers:
        request.user = basic_user(request)
        return answer(request)
    return csrf_protect(answer)(request)


def answer(request):
    if request.user is None or not request.user.is_authenticated:
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Basic realm="mathesar"'})
    call = {}
    try:
        call = json.loads(request.body)
        function, admin = METHODS[call["method"]]
        if admin and not request.user.is_superuser:
            raise PermissionError("only an administrator may do this")
        outcome = {"result": function(request.user, **call.get("params", {}))}
    except Exception as error:  # noqa: BLE001 whatever a method says is its answer
        outcome = {"error": {"code": -32000, "message": f"{type(error).__name__}: {error}"}}
    return JsonResponse({"jsonrpc": "2.0", "id": call.get("id") if isinstance(call, dict) else None, **outcome})


def open_for(user, database_id):
    return Database.objects.get(id=database_id).connect(user)


from mathesar.rpc import data, databases, metadata  # noqa: E402,F401 they register their methods
