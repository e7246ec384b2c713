import psycopg
from django.conf import settings
from django.db import models
from psycopg.rows import dict_row

import mathesar
from db.install import install
from mathesar.crypto import decrypt, encrypt


class Server(models.Model):
    # For the private cluster this is the directory of its socket: the cluster moved elsewhere is not found there.
    host = models.CharField(max_length=255)
    port = models.IntegerField(null=True)

    class Meta:
        unique_together = ("host", "port")


class Database(models.Model):
    name = models.CharField(max_length=128)
    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="databases")
    last_confirmed_sql_version = models.CharField(max_length=32, default="0.0.0")

    class Meta:
        unique_together = ("name", "server")

    @property
    def needs_upgrade_attention(self):
        return self.last_confirmed_sql_version != mathesar.__version__

    def connect(self, user):
        return UserDatabaseRoleMap.objects.get(user=user, database=self).configured_role.connect(self)

    def connect_admin(self):
        """As any superuser of the application who is connected to this database."""
        entry = UserDatabaseRoleMap.objects.filter(database=self, user__is_superuser=True).order_by("id").first()
        if entry is None:
            raise LookupError(f"no administrator is connected to database {self.name}")
        return entry.configured_role.connect(self)

    def install_sql(self, username=None, password=None):
        if username is None:
            connection = self.connect_admin()
        else:
            connection = open_connection(self.server, self.name, username, password)
        with connection:
            install(connection, mathesar.__version__)
        self.last_confirmed_sql_version = mathesar.__version__
        self.save()


class ConfiguredRole(models.Model):
    name = models.CharField(max_length=255)
    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="roles")
    encrypted_password = models.TextField(null=True)

    class Meta:
        unique_together = ("name", "server")

    @property
    def password(self):
        return decrypt(self.encrypted_password) if self.encrypted_password else None

    @password.setter
    def password(self, text):
        self.encrypted_password = encrypt(text) if text else None

    def connect(self, database):
        return open_connection(self.server, database.name, self.name, self.password)


class UserDatabaseRoleMap(models.Model):
    user = models.ForeignKey("User", on_delete=models.CASCADE)
    database = models.ForeignKey(Database, on_delete=models.CASCADE)
    configured_role = models.ForeignKey(ConfiguredRole, on_delete=models.CASCADE)
    server = models.ForeignKey(Server, on_delete=models.CASCADE)

    class Meta:
        unique_together = ("user", "database")


class Exploration(models.Model):
    """A saved query; again a table by its OID."""

    database = models.ForeignKey(Database, on_delete=models.CASCADE)
    name = models.CharField(max_length=128)
    base_table_oid = models.PositiveBigIntegerField()
    initial_columns = models.JSONField()


class DataFile(models.Model):
    file = models.FileField(upload_to="%Y%m%d")
    user = models.ForeignKey("User", on_delete=models.CASCADE)
    delimiter = models.CharField(max_length=1, default=",")
    preview = models.FileField(upload_to="previews", null=True)


def open_connection(server, name, username, password):
    return psycopg.connect(
        host=server.host,
        port=server.port,
        dbname=name,
        user=username,
        password=password,
        sslmode=settings.SSLMODE,
        row_factory=dict_row,
    )
