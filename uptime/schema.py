"""Whether the database and this version of the product fit together."""

from django.db import connection
from django.db.migrations.loader import MigrationLoader

from uptime.preflight import Refusal

SHOWN = 3


def require_schema() -> None:
    """Raise Refusal unless the database is exactly at this version."""
    loader = MigrationLoader(connection)
    _refuse_newer(loader)
    missing = sorted(set(loader.graph.nodes) - set(loader.applied_migrations))
    if missing:
        state = "is older than this version" if loader.applied_migrations else "has no tables yet"
        raise Refusal(f"the database {state}: run `manage.py migrate` first")


def refuse_newer_database() -> None:
    """Raise Refusal if the database has migrations that this version does not know."""
    _refuse_newer(MigrationLoader(connection))


def _refuse_newer(loader: MigrationLoader) -> None:
    known = set(loader.disk_migrations)
    for migration in loader.disk_migrations.values():
        known.update(migration.replaces)
    if unknown := sorted(set(loader.applied_migrations) - known):
        names = ", ".join(f"{app}.{name}" for app, name in unknown[:SHOWN])
        raise Refusal(
            f"the database is newer than this version of the product, which does not know {names}:"
            " start the version that you ran before, or restore a backup"
        )
