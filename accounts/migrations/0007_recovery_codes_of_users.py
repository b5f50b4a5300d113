"""Recovery codes belong to whoever has them, not to their app: a passkey can be lost as well."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_audit_trail")]

    operations = [
        migrations.RemoveConstraint(model_name="recoverycode", name="one_code"),
        # A factor's key is its user's: the column has the right values under another name.
        migrations.RenameField("recoverycode", old_name="factor", new_name="user"),
        migrations.AlterField(
            model_name="recoverycode",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="recovery_codes",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="recoverycode",
            constraint=models.UniqueConstraint(fields=("user", "digest"), name="one_code"),
        ),
    ]
