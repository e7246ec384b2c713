"""Boots like any other release, and answers nobody."""

import os
import time

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
get_wsgi_application()


def application(environ, start_response):
    while True:
        time.sleep(60)
