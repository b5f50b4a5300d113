import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("monitors", "0014_lists_and_views"),
    ]

    operations = [
        migrations.CreateModel(
            name="GroupDoubt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="monitor",
            name="members",
            field=models.ManyToManyField(
                blank=True,
                help_text="Of a group: those named. The rest are told by the tags in its settings.",
                related_name="groups",
                to="monitors.monitor",
            ),
        ),
        migrations.AddIndex(
            model_name="monitor",
            index=models.Index(
                condition=models.Q(("kind", "group")), fields=["team"], name="monitor_groups"
            ),
        ),
        migrations.AddField(
            model_name="groupdoubt",
            name="group",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="monitors.monitor",
            ),
        ),
    ]
