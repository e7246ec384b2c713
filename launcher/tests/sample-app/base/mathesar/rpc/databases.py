"""Servers, databases, roles and collaborators."""

import hashlib
import os

from django.conf import settings
from django.db import connection, transaction
from psycopg import sql

import mathesar
from mathesar.models import ConfiguredRole, Database, Server, User, UserDatabaseRoleMap
from mathesar.rpc import method, open_for


@method("system.info", admin=True)
def info(user):
    return {
        "version": mathesar.__version__,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "media_root": str(settings.MEDIA_ROOT),
        "allowed_hosts": settings.ALLOWED_HOSTS,
        "sso": sorted(settings.SSO_CONFIG),
        "file_storage": sorted(settings.FILE_STORAGE),
        "secret_key": hashlib.sha256(settings.SECRET_KEY.encode()).hexdigest()[:12],
        "environment": sorted(os.environ),
    }


@method("databases.configured.list")
def databases(user):
    return [
        {
            "id": database.id,
            "name": database.name,
            "host": database.server.host,
            "port": database.server.port,
            "last_confirmed_sql_version": database.last_confirmed_sql_version,
            "needs_upgrade_attention": database.needs_upgrade_attention,
        }
        for database in Database.objects.order_by("id").select_related("server")
    ]


def connect_database(user, server, name, role, password):
    with transaction.atomic():
        database, _ = Database.objects.get_or_create(name=name, server=server)
        configured, _ = ConfiguredRole.objects.get_or_create(name=role, server=server)
        configured.password = password
        configured.save()
        UserDatabaseRoleMap.objects.update_or_create(
            user=user, database=database, defaults={"configured_role": configured, "server": server}
        )
        database.install_sql()
    return {"id": database.id, "name": database.name, "host": server.host}


@method("databases.setup.create_new", admin=True)
def create_new(user, database):
    """A new database on the server of the internal one."""
    internal = settings.DATABASES["default"]
    server, _ = Server.objects.get_or_create(host=internal["HOST"], port=int(internal["PORT"] or 5432))
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    return connect_database(user, server, database, internal["USER"], internal["PASSWORD"])


@method("databases.setup.connect_existing", admin=True)
def connect_existing(user, host, port, database, role, password=None):
    server, _ = Server.objects.get_or_create(host=host, port=port)
    return connect_database(user, server, database, role, password)


@method("databases.upgrade_sql", admin=True)
def upgrade_sql(user, database_id, username=None, password=None):
    Database.objects.get(id=database_id).install_sql(username, password)


@method("databases.sql_version")
def sql_version(user, database_id):
    with open_for(user, database_id) as connection:
        return connection.execute("SELECT msar.version() AS version").fetchone()["version"]


@method("roles.add", admin=True)
def add_role(user, database_id, rolename, password, schema="public"):
    """A role of PostgreSQL that may log in, and its password kept, encrypted, for its holder's connections."""
    database = Database.objects.get(id=database_id)
    role = sql.Identifier(rolename)
    with open_for(user, database_id) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role))
        connection.execute(
            sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(sql.Identifier(schema), role)
        )
    configured = ConfiguredRole(name=rolename, server=database.server)
    configured.password = password
    configured.save()
    return {"id": configured.id, "name": rolename}


@method("collaborators.add", admin=True)
def add_collaborator(user, database_id, username, password, configured_role_id):
    database = Database.objects.get(id=database_id)
    with transaction.atomic():
        collaborator = User.objects.create_user(username=username, password=password)
        UserDatabaseRoleMap.objects.create(
            user=collaborator,
            database=database,
            configured_role_id=configured_role_id,
            server=database.server,
        )
    return {"id": collaborator.id, "username": username}
