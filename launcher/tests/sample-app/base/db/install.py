"""The SQL that the application keeps in every connected database, in schema `msar`; its version is the application's."""

from pathlib import Path

from psycopg import sql

FILES = sorted((Path(__file__).parent / "sql").glob("*.sql"))


def install(connection, version):
    """Replaces what an older version has left, in one transaction."""
    with connection.transaction():
        connection.execute("DROP SCHEMA IF EXISTS msar CASCADE")
        connection.execute("CREATE SCHEMA msar")
        connection.execute("GRANT USAGE ON SCHEMA msar TO PUBLIC")
        for file in FILES:
            connection.execute(file.read_text())
        connection.execute(
            sql.SQL("CREATE FUNCTION msar.version() RETURNS text LANGUAGE sql AS {}").format(
                sql.Literal(f"SELECT '{version}'")
            )
        )
