"""Packed results, found by assignment and time. Payloads are deflated already: no second try."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('monitors', '0005_windows_and_fingerprints'),
    ]

    operations = [
        migrations.CreateModel(
            name='PackedResults',
            fields=[
                ('pk', models.CompositePrimaryKey('assignment_id', 'first_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('first_at', models.DateTimeField()),
                ('last_at', models.DateTimeField()),
                ('checks', models.IntegerField()),
                ('statuses', models.SmallIntegerField(help_text='Which occur, as bits.')),
                ('payload', models.BinaryField(help_text='See `monitors.packing`.')),
                ('assignment', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='monitors.assignment')),
            ],
        ),
        migrations.RunSQL(
            "ALTER TABLE monitors_packedresults ALTER COLUMN payload SET STORAGE EXTERNAL",
            migrations.RunSQL.noop,
        ),
    ]
