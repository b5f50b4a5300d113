
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('monitors', '0016_details'),
    ]

    operations = [
        migrations.AddField(
            model_name='monitor',
            name='snoozed_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='monitor',
            name='snoozed_until',
            field=models.DateTimeField(editable=False, help_text='Nobody is told of it; set until that end was seen to.', null=True),
        ),
        migrations.AddIndex(
            model_name='monitor',
            index=models.Index(condition=models.Q(('snoozed_until__isnull', False)), fields=['snoozed_until'], name='monitor_snoozed'),
        ),
    ]
