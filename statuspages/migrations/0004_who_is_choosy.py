from django.db import migrations

CHOOSY = """
UPDATE statuspages_subscriber AS s SET is_choosy = true
WHERE EXISTS (
    SELECT 1 FROM statuspages_subscriber_components AS c WHERE c.subscriber_id = s.id
)
"""


class Migration(migrations.Migration):
    dependencies = [("statuspages", "0003_choosy_subscribers")]

    operations = [migrations.RunSQL(CHOOSY, migrations.RunSQL.noop)]
