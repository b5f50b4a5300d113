"""What the installation keeps about itself."""

from django.db import models


class Counter(models.Model):
    """A share of one metric's count: `uptime.counters` adds to it and sums the shares.

    The rows of one metric are told apart by `labels`, its label values joined by commas, and by
    `shard`, so that writers at the same time don't wait for each other's rows.
    """

    pk = models.CompositePrimaryKey("shard", "name", "labels")
    shard = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=40)
    labels = models.CharField(max_length=100)
    value = models.FloatField(default=0)

    def __str__(self) -> str:
        return f"{self.name}{{{self.labels}}} {self.value:g}"
