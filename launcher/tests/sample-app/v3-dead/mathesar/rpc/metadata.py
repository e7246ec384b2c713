"""How columns are shown."""

from mathesar.models import ColumnMetaData
from mathesar.rpc import method


@method("columns.metadata.list")
def metadata(user, database_id, table_oid):
    found = ColumnMetaData.objects.filter(database_id=database_id, table_oid=table_oid).order_by("attnum")
    return list(found.values("attnum", "duration_min"))


@method("columns.metadata.set")
def set_metadata(user, database_id, table_oid, attnum, duration_min):
    ColumnMetaData.objects.update_or_create(
        database_id=database_id, table_oid=table_oid, attnum=attnum, defaults={"duration_min": duration_min}
    )
