"""Rollups by hour and day, marks of late results, and how far the chores on them have come.

Rollups are found by assignment and time, by their primary key; the statistics read them, and a day
is made from its hours.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('monitors', '0003_local_location'),
    ]

    operations = [
        migrations.CreateModel(
            name='Chore',
            fields=[
                ('name', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('done_until', models.DateTimeField(null=True)),
                ('position', models.BigIntegerField(default=0)),
                ('ran_at', models.DateTimeField(help_text='When a step last succeeded.', null=True)),
                ('failing_since', models.DateTimeField(help_text='When the first of its steps failed.', null=True)),
                ('error', models.TextField(blank=True)),
            ],
        ),
        migrations.CreateModel(
            name='LateResult',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('assignment_id', models.BigIntegerField()),
                ('hour', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='DayRollup',
            fields=[
                ('started_at', models.DateTimeField()),
                ('latency_sum_ms', models.FloatField()),
                ('latency_min_ms', models.FloatField(null=True)),
                ('latency_max_ms', models.FloatField(null=True)),
                ('up', models.IntegerField()),
                ('degraded', models.IntegerField()),
                ('down', models.IntegerField()),
                ('unknown', models.IntegerField()),
                ('buckets', django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), size=None)),
                ('counts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('pk', models.CompositePrimaryKey('assignment_id', 'started_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('assignment', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='monitors.assignment')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='HourRollup',
            fields=[
                ('started_at', models.DateTimeField()),
                ('latency_sum_ms', models.FloatField()),
                ('latency_min_ms', models.FloatField(null=True)),
                ('latency_max_ms', models.FloatField(null=True)),
                ('up', models.IntegerField()),
                ('degraded', models.IntegerField()),
                ('down', models.IntegerField()),
                ('unknown', models.IntegerField()),
                ('buckets', django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), size=None)),
                ('counts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('pk', models.CompositePrimaryKey('assignment_id', 'started_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('assignment', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='monitors.assignment')),
            ],
            options={
                'abstract': False,
            },
        ),
    ]
