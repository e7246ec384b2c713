"""Every setting comes from the environment; the variables are Mathesar's."""

import json
import os
import secrets
from pathlib import Path

import yaml
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent.parent


def required(name):
    try:
        return os.environ[name]
    except KeyError:
        raise ImproperlyConfigured(f"{name} is not set") from None


def flag(name):
    return os.environ.get(name, "false").lower() in ("true", "t", "1", "yes")


def secret_key():
    if key := os.environ.get("SECRET_KEY"):
        return key
    path = BASE_DIR / ".secrets" / "secret_key.txt"
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(secrets.token_urlsafe(50))
        path.chmod(0o600)
    return path.read_text().strip()


def document(variables, file):
    """A variable holding JSON, or else a YAML file in the application's folder."""
    for name in variables:
        if text := os.environ.get(name):
            try:
                return json.loads(text)
            except ValueError as error:
                raise ImproperlyConfigured(f"{name} is not JSON: {error}") from None
    path = BASE_DIR / file
    return yaml.safe_load(path.read_text()) if path.exists() else {}


SECRET_KEY = secret_key()
DEBUG = flag("DEBUG")
ALLOWED_HOSTS = [
    host.strip() for host in os.environ.get("ALLOWED_HOSTS", ".localhost, 127.0.0.1, [::1]").split(",")
]

SSLMODE = os.environ.get("POSTGRES_SSLMODE", "prefer")
if SSLMODE not in ("disable", "prefer", "require"):
    raise ImproperlyConfigured("POSTGRES_SSLMODE must be disable, prefer or require")
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": required("POSTGRES_DB"),
        "USER": required("POSTGRES_USER"),
        "HOST": required("POSTGRES_HOST"),
        "PASSWORD": os.environ.get("POSTGRES_PASSWORD", ""),
        "PORT": os.environ.get("POSTGRES_PORT", ""),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

SSO_CONFIG = document(["SSO_CONFIG_DICT", "OIDC_CONFIG_DICT"], "sso.yml")
FILE_STORAGE = document(["FILE_STORAGE_DICT"], "file_storage.yml")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "mathesar",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "mathesar" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
AUTH_USER_MODEL = "mathesar.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = False
LOGIN_URL = "/auth/login/"
LOGIN_REDIRECT_URL = "/"

TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
# Relative to the working directory, as Mathesar's: started elsewhere it would silently lack its translations. Here it says so.
LOCALE_PATHS = ["translations"]
if not Path(LOCALE_PATHS[0]).is_dir():
    raise ImproperlyConfigured(f"the working directory must be {BASE_DIR}")

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "static"
MEDIA_URL = "/media/"
MEDIA_ROOT = os.environ.get("MEDIA_ROOT", str(BASE_DIR / ".media"))

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
