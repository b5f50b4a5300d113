"""Rollups of weeks: statistics of a year read a sixth of the rows, which lie far apart.

They are found by assignment and time, by their primary key, as those of hours and days are.
"""

import django.db.models.deletion
from django.db import migrations, models

import monitors.fields


class Migration(migrations.Migration):

    dependencies = [
        ('monitors', '0020_spans_from_their_index'),
    ]

    operations = [
        migrations.CreateModel(
            name='WeekRollup',
            fields=[
                ('started_at', models.DateTimeField()),
                ('latency_sum_ms', models.FloatField()),
                ('latency_min_ms', models.FloatField(null=True)),
                ('latency_max_ms', models.FloatField(null=True)),
                ('up', models.IntegerField()),
                ('degraded', models.IntegerField()),
                ('down', models.IntegerField()),
                ('unknown', models.IntegerField()),
                ('histogram', monitors.fields.HistogramField()),
                ('pk', models.CompositePrimaryKey('assignment_id', 'started_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('assignment', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='monitors.assignment')),
            ],
            options={
                'abstract': False,
            },
        ),
    ]
