# Run by the launcher with Mathesar's interpreter, in its folder and environment; a request on standard input, an answer on
# standard output. Passwords come and go by these only.
import json
import sys

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.password_validation import validate_password  # noqa: E402
from django.core.exceptions import ValidationError  # noqa: E402

request = json.load(sys.stdin)
User = get_user_model()


def problems(user, password):
    try:
        validate_password(password, user)
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        return error.messages
    return []


def one_time(user):
    # Mathesar then asks for another one at the first login.
    names = {field.name for field in User._meta.get_fields()}
    if request.get("one_time") and "password_change_needed" in names:
        user.password_change_needed = True
    elif "password_change_needed" in names:
        user.password_change_needed = False


def create():
    name = request["username"]
    if User.objects.filter(username=name).exists():
        return {"exists": name}
    user = User(username=name, email=request.get("email") or "", is_superuser=True, is_staff=True)
    wrong = problems(user, request["password"])
    if wrong:
        return {"problems": wrong}
    user.set_password(request["password"])
    one_time(user)
    user.save()
    return {"created": name}


def reset():
    user = User.objects.filter(username=request["username"]).first()
    if user is None:
        return {"unknown": sorted(User.objects.filter(is_superuser=True).values_list("username", flat=True))}
    wrong = problems(user, request["password"])
    if wrong:
        return {"problems": wrong}
    user.set_password(request["password"])
    user.is_active = True
    one_time(user)
    user.save()
    return {"reset": user.username, "admin": user.is_superuser}


def exists():
    return {"exists": User.objects.filter(is_superuser=True).exists()}


json.dump({"create": create, "reset": reset, "exists": exists}[request["do"]](), sys.stdout)
