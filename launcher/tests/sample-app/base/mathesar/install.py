"""`python -m mathesar.install`: brings the internal database and the static files up to date."""

import os

import django
from django.core.management import call_command


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
    django.setup()
    from config.settings.production import flag

    call_command("migrate", interactive=False)
    if not flag("SKIP_STATIC_COLLECTION"):
        call_command("collectstatic", "--noinput", "--clear")


if __name__ == "__main__":
    main()
