
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('incidents', '0005_maintenance'),
    ]

    operations = [
        migrations.AlterField(
            model_name='incidentevent',
            name='kind',
            field=models.CharField(choices=[('opened', 'Opened'), ('maintenance', 'Maintenance began'), ('outlasted', 'Goes on after the maintenance'), ('severity_changed', 'Severity changed'), ('snoozed', 'Snoozed'), ('unsnoozed', 'The snooze is over'), ('held', 'Held'), ('released', 'Released'), ('flapping', 'Flapping'), ('calmed', 'Stopped flapping'), ('acknowledged', 'Acknowledged'), ('assigned', 'Assigned'), ('commented', 'Commented'), ('resolved', 'Resolved')], max_length=20),
        ),
    ]
