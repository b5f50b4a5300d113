from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("statuspages", "0002_subscribers")]

    operations = [
        migrations.AddField(
            model_name="subscriber",
            name="is_choosy",
            field=models.BooleanField(
                default=False, help_text="Of `components` only, also once none of them is left."
            ),
        ),
    ]
