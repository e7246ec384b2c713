"""Tables, rows and explorations of a connected database."""

import csv

from psycopg import sql

from mathesar.models import DataFile, Exploration
from mathesar.rpc import method, open_for


@method("tables.list")
def tables(user, database_id, schema="public"):
    with open_for(user, database_id) as connection:
        return connection.execute("SELECT * FROM msar.tables(%s)", [schema]).fetchall()


@method("tables.add")
def add_table(user, database_id, table_name, columns=(), schema="public"):
    with open_for(user, database_id) as connection:
        row = connection.execute(
            "SELECT msar.add_table(%s, %s, %s::text[]) AS oid", [schema, table_name, list(columns)]
        ).fetchone()
    return {"oid": row["oid"], "name": table_name}


@method("tables.import")
def import_table(user, database_id, table_name, data_file_id):
    data_file = DataFile.objects.get(id=data_file_id, user=user)
    with data_file.file.open("rt") as lines:
        header, *rows = csv.reader(lines, delimiter=data_file.delimiter)
    table = add_table(user, database_id, table_name, header)
    for row in rows:
        add_record(user, database_id, table["oid"], dict(zip(header, row)))
    return table


@method("records.add")
def add_record(user, database_id, table_oid, record_def):
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in record_def)
    values = sql.SQL(", ").join(sql.Placeholder() for _ in record_def)
    with open_for(user, database_id) as connection:
        table = connection.execute("SELECT msar.name_of(%s) AS name", [table_oid]).fetchone()["name"]
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING *")
        return connection.execute(
            statement.format(sql.SQL(table), columns, values), list(record_def.values())
        ).fetchone()


@method("records.list")
def records(user, database_id, table_oid):
    with open_for(user, database_id) as connection:
        table = connection.execute("SELECT msar.name_of(%s) AS name", [table_oid]).fetchone()["name"]
        rows = connection.execute(sql.SQL("SELECT * FROM {} ORDER BY 1").format(sql.SQL(table))).fetchall()
    return {"count": len(rows), "results": rows}


@method("explorations.add")
def add_exploration(user, database_id, name, base_table_oid, initial_columns):
    exploration = Exploration.objects.create(
        database_id=database_id, name=name, base_table_oid=base_table_oid, initial_columns=initial_columns
    )
    return {"id": exploration.id}


@method("explorations.list")
def explorations(user, database_id):
    found = Exploration.objects.filter(database_id=database_id).order_by("id")
    return list(found.values("id", "name", "base_table_oid", "initial_columns"))


@method("explorations.run")
def run_exploration(user, exploration_id):
    exploration = Exploration.objects.get(id=exploration_id)
    with open_for(user, exploration.database_id) as connection:
        oid = exploration.base_table_oid
        table = connection.execute("SELECT msar.name_of(%s) AS name", [oid]).fetchone()["name"]
        columns = sql.SQL(", ").join(sql.Identifier(name) for name in exploration.initial_columns)
        return connection.execute(sql.SQL("SELECT {} FROM {}").format(columns, sql.SQL(table))).fetchall()
