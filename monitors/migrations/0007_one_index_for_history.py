"""One index each: the primary keys of rollups and packed results begin with the assignment."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('monitors', '0006_packed_results'),
    ]

    operations = [
        migrations.AlterField(
            model_name='dayrollup',
            name='assignment',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='monitors.assignment'),
        ),
        migrations.AlterField(
            model_name='hourrollup',
            name='assignment',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='monitors.assignment'),
        ),
        migrations.AlterField(
            model_name='packedresults',
            name='assignment',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='monitors.assignment'),
        ),
    ]
