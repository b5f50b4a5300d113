from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('alerts', '0002_channel_fallback'),
    ]

    operations = [
        migrations.AddField(
            model_name='delivery',
            name='settled',
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
