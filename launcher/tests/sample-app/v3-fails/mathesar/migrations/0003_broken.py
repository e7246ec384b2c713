"""Fails half-way and, not being one transaction, leaves behind what it did: the new code alone cannot be put away.

Uploaded files are among it: one is written anew, the others are removed.
"""

from pathlib import Path

from django.conf import settings
from django.db import migrations


def change_files(apps, schema_editor):
    files = sorted(path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file())
    for path in files[1:]:
        path.unlink()
    for path in files[:1]:
        path.write_text("by a release that fails")


def fail(apps, schema_editor):
    raise RuntimeError("this migration always fails half-way")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("mathesar", "0002_group_digits")]

    operations = [
        migrations.RunSQL("DELETE FROM mathesar_exploration"),
        migrations.RunSQL("ALTER TABLE mathesar_columnmetadata RENAME COLUMN duration_min TO shortest"),
        migrations.RunPython(change_files),
        migrations.RunPython(fail),
    ]
