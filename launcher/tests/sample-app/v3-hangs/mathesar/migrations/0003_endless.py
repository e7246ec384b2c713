"""Never ends, with a lock held. It sleeps in the server: killing the client alone leaves the backend and its lock."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("mathesar", "0002_group_digits")]

    operations = [
        migrations.RunSQL("ALTER TABLE mathesar_columnmetadata RENAME COLUMN duration_min TO shortest"),
        migrations.RunSQL("SELECT pg_sleep(1000000)"),
    ]
