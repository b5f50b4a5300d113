
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('alerts', '0014_location_blind_in_policies'),
    ]

    operations = [
        migrations.AddField(
            model_name='delivery',
            name='silenced_at',
            field=models.DateTimeField(blank=True, help_text='Since when maintenance or a snooze keeps it back.', null=True),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='status',
            field=models.CharField(choices=[('queued', 'Queued'), ('sending', 'Sending'), ('sent', 'Sent'), ('failed', 'Failed, will be tried again'), ('dead', 'Dead'), ('dropped', 'Dropped')], default='queued', max_length=8),
        ),
    ]
