from .base import ConfiguredRole, Database, DataFile, Exploration, Server, UserDatabaseRoleMap
from .metadata import ColumnMetaData
from .users import User

__all__ = [
    "ColumnMetaData",
    "ConfiguredRole",
    "DataFile",
    "Database",
    "Exploration",
    "Server",
    "User",
    "UserDatabaseRoleMap",
]
