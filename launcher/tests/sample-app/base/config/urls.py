from allauth.account.views import LoginView, LogoutView
from django.urls import path
from django.views.generic import RedirectView

from mathesar import rpc, views

urlpatterns = [
    path("", views.home, name="home"),
    path("auth/login/", views.admin_must_exist(LoginView.as_view()), name="account_login"),
    # allauth's login page wants to name it; nobody registers here by himself.
    path("auth/signup/", RedirectView.as_view(pattern_name="account_login"), name="account_signup"),
    path("auth/logout/", LogoutView.as_view(), name="account_logout"),
    path("complete_installation/", views.complete_installation, name="complete_installation"),
    path("api/rpc/v0/", rpc.endpoint, name="rpc"),
    path("api/db/v0/data_files/", views.data_files, name="data_files"),
    path("api/db/v0/data_files/<int:pk>/", views.data_file, name="data_file"),
]
handler404 = "mathesar.views.not_found"
