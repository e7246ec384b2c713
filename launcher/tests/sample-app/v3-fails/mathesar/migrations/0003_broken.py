"""Fails half-way and, not being one transaction, leaves behind what it did: the new code alone cannot be put away."""

from django.db import migrations


def fail(apps, schema_editor):
    raise RuntimeError("this migration always fails half-way")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("mathesar", "0002_group_digits")]

    operations = [
        migrations.RunSQL("DELETE FROM mathesar_exploration"),
        migrations.RunSQL("ALTER TABLE mathesar_columnmetadata RENAME COLUMN duration_min TO shortest"),
        migrations.RunPython(fail),
    ]
