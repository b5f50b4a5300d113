"""Counters of the installation's metrics.

The few rows are updated with every batch of checks: a fillfactor of 50 leaves room for their new
versions on the same page, so that no update touches the index (heap-only updates).
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Counter",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "shard",
                        "name",
                        "labels",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("shard", models.PositiveSmallIntegerField()),
                ("name", models.CharField(max_length=40)),
                ("labels", models.CharField(max_length=100)),
                ("value", models.FloatField(default=0)),
            ],
        ),
        migrations.RunSQL(
            "ALTER TABLE uptime_counter SET (fillfactor = 50, autovacuum_vacuum_threshold = 1000)",
            "ALTER TABLE uptime_counter RESET (fillfactor, autovacuum_vacuum_threshold)",
        ),
    ]
