from django.db import migrations


def make_local(apps, schema_editor):
    apps.get_model("monitors", "Location").objects.get_or_create(
        slug="local", defaults={"name": "This installation"}
    )


class Migration(migrations.Migration):
    dependencies = [("monitors", "0002_result_partitions")]

    operations = [migrations.RunPython(make_local, migrations.RunPython.noop)]
