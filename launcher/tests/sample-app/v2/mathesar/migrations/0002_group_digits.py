from django.db import migrations, models


def fill(apps, schema_editor):
    metadata = apps.get_model("mathesar", "ColumnMetaData")
    metadata.objects.filter(duration_min__isnull=True).update(group_digits=True)


class Migration(migrations.Migration):
    dependencies = [("mathesar", "0001_initial")]

    operations = [
        migrations.AddField("columnmetadata", "group_digits", models.BooleanField(null=True)),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
