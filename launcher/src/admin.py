# Run by the launcher with Mathesar's interpreter, in its folder and environment; a request on standard input, an answer on
# standard output. Passwords come and go by these only.
import json
import sys

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.forms import UserCreationForm  # noqa: E402
from django.contrib.auth.password_validation import validate_password  # noqa: E402
from django.core.exceptions import ValidationError  # noqa: E402
from django.db import IntegrityError  # noqa: E402

request = json.load(sys.stdin)
User = get_user_model()


class Form(UserCreationForm):
    # What Mathesar's first page asks with, so names and passwords are judged as there.
    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username", "email")

    def clean_username(self):
        # Django's rule, which the real forms show, but which not every release's model holds to.
        name = super().clean_username() if hasattr(super(), "clean_username") else self.cleaned_data["username"]
        User.username_validator(name)
        return name


def one_time(user):
    # Mathesar then asks for another one at the next login. Releases without the column cannot.
    if "password_change_needed" not in {field.name for field in User._meta.get_fields()}:
        return False
    user.password_change_needed = bool(request.get("one_time"))
    return user.password_change_needed


def taken(name):
    user = User.objects.filter(username=name).first()
    return {"exists": name, "admin": user is not None and user.is_superuser}


def create():
    name = request["username"]
    if User.objects.filter(username=name).exists():
        return taken(name)
    password = request["password"]
    form = Form({"username": name, "email": request["email"], "password1": password, "password2": password})
    if not form.is_valid():
        return {"problems": [message for messages in form.errors.values() for message in messages]}
    user = form.save(commit=False)
    user.is_superuser = True
    asked_again = one_time(user)
    try:
        user.save()
    except IntegrityError:
        # Somebody else was faster.
        return taken(name)
    return {"created": user.username, "one_time": asked_again}


def reset():
    user = User.objects.filter(username=request["username"]).first()
    if user is None:
        return {"unknown": sorted(User.objects.filter(is_superuser=True).values_list("username", flat=True))}
    try:
        validate_password(request["password"], user)
    except ValidationError as error:
        return {"problems": error.messages}
    user.set_password(request["password"])
    asked_again, activated = one_time(user), not user.is_active
    user.is_active = True
    user.save()
    return {"reset": user.username, "one_time": asked_again, "activated": activated, "admin": user.is_superuser}


def exists():
    return {"exists": User.objects.filter(is_superuser=True).exists()}


answer = {"create": create, "reset": reset, "exists": exists}[request["do"]]()
print(json.dumps(answer))
