"""A rollup's histogram becomes one number (see `monitors.histograms`), so that they can be summed.

Each table is rewritten once, as PostgreSQL does to change a column's type: a million rows in some
20 s. There is no way back.
"""

from django.db import migrations

import monitors.fields

_FUNCTION = """
CREATE FUNCTION pg_temp.packed(buckets smallint[], counts int[]) RETURNS numeric LANGUAGE sql AS $$
    SELECT coalesce(sum((checks || 'e' || 12 * (bucket + 89))::numeric), 0)
    FROM unnest(buckets, counts) AS part (bucket, checks)
$$
"""


def _rewrite(table: str) -> str:
    return (
        f"ALTER TABLE {table} ALTER buckets TYPE numeric USING pg_temp.packed(buckets, counts),"
        f" DROP counts; ALTER TABLE {table} RENAME buckets TO histogram"
    )


class Migration(migrations.Migration):

    dependencies = [
        ('monitors', '0017_snooze'),
    ]

    operations = [
        migrations.RunSQL(_FUNCTION),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(_rewrite(table))
                for table in ('monitors_hourrollup', 'monitors_dayrollup')
            ],
            state_operations=[
                operation
                for name in ('hourrollup', 'dayrollup')
                for operation in (
                    migrations.RemoveField(name, 'buckets'),
                    migrations.RemoveField(name, 'counts'),
                    migrations.AddField(name, 'histogram', monitors.fields.HistogramField()),
                )
            ],
        ),
    ]
