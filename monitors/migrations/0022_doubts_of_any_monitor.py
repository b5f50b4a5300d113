from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("monitors", "0021_week_rollups"),
    ]

    operations = [
        migrations.RenameModel("GroupDoubt", "Doubt"),
        migrations.RenameField("doubt", "group", "monitor"),
    ]
