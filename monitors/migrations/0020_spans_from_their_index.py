"""Uptime over a window is read from `span_history` alone.

A monitor's spans lie far apart in their table: 456 blocks for the 731 of a year, which are ten
blocks of this index.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('monitors', '0019_fingerprint_of_any_kind'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='statusspan',
            name='span_history',
        ),
        migrations.AddIndex(
            model_name='statusspan',
            index=models.Index(fields=['monitor', '-started_at'], include=('status', 'ended_at'), name='span_history'),
        ),
    ]
