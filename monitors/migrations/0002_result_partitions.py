"""The results table, partitioned by day, and the storage settings of the hot table.

Results: columns ordered from wide to narrow, so that no byte is lost to alignment. The primary key
finds a monitor's results (through its assignments); the BRIN index finds those of a time span in
rows that arrive in the order of time, for a thousandth of a B-tree's size.

Assignments are updated twice with every check, by the lease and by the result. The second moves an
index entry; the first need not (a heap-only update) where the page has room for a new version. A
fillfactor of 70 leaves that, and vacuum looks in early. `manage.py bench bloat`, whole rounds of
checks of all assignments, the table's and the lease's index's size in MB:

                                           table  index  dead    PostgreSQL's
    assignments  fillfactor  round  heap-only    MB     MB  rows  CPU, ms/check
    1,000,000            70      -                216     10
                                 1       50 %     216     17   2 %          0.113
                                 2       50 %     216     19  10 %          0.108
    50,000               70      -               10.8    1.5
                                 1       50 %    10.8    2.9  32 %          0.067
                                 3       50 %    10.8    2.9   3 %          0.070
    50,000              100      -                7.5    1.5
                                 1       42 %     8.9    2.5  15 %          0.083
                                 3       36 %     9.7    2.8   8 %          0.068
    50,000 and vacuum at 20 % dead rows, as PostgreSQL has it
                         70      1       50 %    10.8    3.2  55 %          0.061
                                 3       50 %    10.8    3.2  30 %          0.096

Half of the updates is the best that can be; the index settles at about twice its first size. Where
vacuum comes late, the lease reads past more and more entries of rows that moved on.
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
