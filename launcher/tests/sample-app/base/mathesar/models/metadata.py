from django.db import models


class ColumnMetaData(models.Model):
    """How a column is shown. The table is known by its OID: a dump and restore loses it."""

    database = models.ForeignKey("Database", on_delete=models.CASCADE)
    table_oid = models.PositiveBigIntegerField()
    attnum = models.SmallIntegerField()
    duration_min = models.CharField(max_length=255, null=True)

    class Meta:
        unique_together = ("database", "table_oid", "attnum")
