"""Stored database passwords: whoever loses SECRET_KEY loses them."""

import base64
import hashlib

from cryptography.fernet import Fernet
from django.conf import settings


def _fernet():
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(settings.SECRET_KEY.encode()).digest()))


def encrypt(text):
    return _fernet().encrypt(text.encode()).decode()


def decrypt(token):
    return _fernet().decrypt(token.encode()).decode()
