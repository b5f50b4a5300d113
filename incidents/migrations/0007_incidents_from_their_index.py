"""How many incidents began in a window and how long they took is read from `incident_of_monitor`
alone; the foreign key needs no index beside it.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('incidents', '0006_snooze'),
        ('monitors', '0020_spans_from_their_index'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='incident',
            name='incident_of_monitor',
        ),
        migrations.AddIndex(
            model_name='incident',
            index=models.Index(fields=['monitor', '-started_at'], include=('resolved_at',), name='incident_of_monitor'),
        ),
        migrations.AlterField(
            model_name='incident',
            name='monitor',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='incidents', to='monitors.monitor'),
        ),
    ]
