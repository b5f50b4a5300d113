"""A database column of our own."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import models

from monitors.histograms import packed, unpacked

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class HistogramField(models.Field[Mapping[int, int], Counter[int]]):
    """The checks in each bucket of `monitors.histograms`, as one number that can be summed."""

    def db_type(self, connection: "BaseDatabaseWrapper") -> str:
        return "numeric"

    def from_db_value(self, value: Decimal, *_: Any) -> Counter[int]:
        return unpacked(value)

    def get_prep_value(self, value: Mapping[int, int]) -> Decimal:
        return packed(value)
