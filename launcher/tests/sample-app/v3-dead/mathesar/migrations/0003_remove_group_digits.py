"""Succeeds, and what it drops is what version 2 needs."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("mathesar", "0002_group_digits")]

    operations = [migrations.RemoveField("columnmetadata", "group_digits")]
