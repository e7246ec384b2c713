"""How columns are shown."""

from mathesar.models import ColumnMetaData
from mathesar.rpc import method, open_for


@method("columns.metadata.list")
def metadata(user, database_id, table_oid):
    found = ColumnMetaData.objects.filter(database_id=database_id, table_oid=table_oid).order_by("attnum")
    return list(found.values("attnum", "duration_min", "group_digits"))


@method("columns.metadata.set")
def set_metadata(user, database_id, table_oid, attnum, duration_min, group_digits=None):
    ColumnMetaData.objects.update_or_create(
        database_id=database_id,
        table_oid=table_oid,
        attnum=attnum,
        defaults={"duration_min": duration_min, "group_digits": group_digits},
    )


@method("tables.row_count")
def row_count(user, database_id, table_oid):
    """Fails in a database whose SQL is still version 1's."""
    with open_for(user, database_id) as connection:
        return connection.execute("SELECT msar.row_count(%s) AS count", [table_oid]).fetchone()["count"]
