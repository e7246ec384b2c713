import clevercsv
from django import forms
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import UserCreationForm
from django.core.files.base import ContentFile
from django.http import FileResponse, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect

import mathesar
from mathesar.images import preview
from mathesar.models import Database, DataFile, User
from mathesar.rpc import basic_user


def admin_exists():
    return User.objects.filter(is_superuser=True).exists()


def admin_must_exist(view):
    def checked(request, *args, **kwargs):
        if not admin_exists():
            return redirect("complete_installation")
        return view(request, *args, **kwargs)

    return checked


class InstallationForm(UserCreationForm):
    email = forms.EmailField(required=False)

    class Meta:
        model = User
        fields = ("username", "email")


def complete_installation(request):
    """Whoever comes first becomes the administrator."""
    if admin_exists():
        return redirect("account_login")
    form = InstallationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = form.save(commit=False)
        user.is_superuser = user.is_staff = True
        user.save()
        return redirect("account_login")
    return render(request, "complete_installation.html", {"form": form})


@login_required
def home(request):
    databases = Database.objects.order_by("name")
    return render(request, "home.html", {"databases": databases, "version": mathesar.__version__})


def not_found(request, exception=None):
    # Mathesar's page for this needs somebody who is logged in; a prober must not take it for a broken server.
    status = 404 if request.user.is_authenticated else 500
    return HttpResponse("There is no such page.", status=status, content_type="text/plain")


@csrf_exempt
def data_files(request):
    if "Authorization" in request.headers:
        request.user = basic_user(request)
        return upload(request)
    return csrf_protect(upload)(request)


def upload(request):
    if request.user is None or not request.user.is_authenticated:
        return HttpResponse(status=401)
    upload = request.FILES.get("file")
    if upload is None:
        return JsonResponse({"error": "a multipart field `file` is needed"}, status=400)
    content = upload.read()
    data_file = DataFile(user=request.user)
    if upload.name.endswith(".svg"):
        data_file.preview.save("preview.png", ContentFile(preview(content)), save=False)
    else:
        dialect = clevercsv.Sniffer().sniff(content.decode("utf-8", "replace"), delimiters=",;\t|")
        data_file.delimiter = dialect.delimiter or ","
    data_file.file.save(upload.name, ContentFile(content), save=False)
    data_file.save()
    shown = {"id": data_file.id, "name": data_file.file.name, "delimiter": data_file.delimiter}
    return JsonResponse(shown, status=201)


@csrf_exempt
def data_file(request, pk):
    user = basic_user(request) if "Authorization" in request.headers else request.user
    if user is None or not user.is_authenticated:
        return HttpResponse(status=401)
    return FileResponse(get_object_or_404(DataFile, pk=pk, user=user).file.open("rb"))
