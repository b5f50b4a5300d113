"""The results table, partitioned by day, and the storage settings of the hot table.

Results: columns ordered from wide to narrow, so that no byte is lost to alignment. The primary key
finds a monitor's results (through its assignments); the BRIN index finds those of a time span in
rows that arrive in the order of time, for a thousandth of a B-tree's size.

Assignments are updated with every check: a fillfactor of 70 leaves room for the new version on the
same page (heap-only updates), and vacuum looks in early.
"""

from django.db import migrations

from monitors.partitions import ensure_partitions


def make_first_partitions(apps, schema_editor):
    ensure_partitions(connection=schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("monitors", "0001_initial")]

    operations = [
        migrations.RunSQL(
            """
            CREATE TABLE monitors_result (
                id uuid NOT NULL,
                assignment_id bigint NOT NULL,
                checked_at timestamptz NOT NULL,
                due_at timestamptz NOT NULL,
                cert_expires_at timestamptz,
                latency_ms real,
                dns_ms real,
                connect_ms real,
                tls_ms real,
                first_byte_ms real,
                transfer_ms real,
                http_status smallint,
                attempt smallint NOT NULL,
                status varchar(8) NOT NULL,
                reason varchar(30),
                message text,
                PRIMARY KEY (assignment_id, checked_at)
            ) PARTITION BY RANGE (checked_at);
            CREATE INDEX monitors_result_time ON monitors_result USING brin (checked_at)
                WITH (pages_per_range = 32, autosummarize = on);
            ALTER TABLE monitors_assignment SET (
                fillfactor = 70,
                autovacuum_vacuum_scale_factor = 0.05,
                autovacuum_vacuum_threshold = 1000,
                autovacuum_vacuum_cost_delay = 0
            );
            """,
            "DROP TABLE monitors_result;",
        ),
        migrations.RunPython(make_first_partitions, migrations.RunPython.noop),
    ]
