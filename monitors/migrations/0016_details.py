import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('monitors', '0015_groups'),
    ]

    operations = [
        migrations.CreateModel(
            name='Details',
            fields=[
                ('assignment', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='details', serialize=False, to='monitors.assignment')),
                ('checked_at', models.DateTimeField()),
                ('found', models.JSONField(help_text='`Observation.details`, without the answer and secrets.')),
            ],
        ),
    ]
