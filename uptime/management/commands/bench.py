"""`manage.py bench NAME ...`: run one of the benchmarks in uptime/bench/."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand

NAMES = (
    "bloat",
    "deliveries",
    "engine",
    "faults",
    "intake",
    "lease",
    "pages",
    "probe",
    "rollup",
    "shifts",
    "stats",
)


class Command(BaseCommand):
    help = "Measure the product on this machine; the last line is one JSON object."

    def add_arguments(self, parser: ArgumentParser) -> None:
        benchmarks = parser.add_subparsers(dest="name", required=True, metavar="NAME")
        for name in NAMES:
            module = import_module(f"uptime.bench.{name}")
            keys = "\n".join(f"  {key}: {meaning}" for key, meaning in module.KEYS.items())
            summary = (module.__doc__ or "").strip()
            module.add_arguments(
                benchmarks.add_parser(
                    name,
                    help=summary.splitlines()[0],
                    description=f"{summary}\n\nkeys of the last line:\n{keys}",
                    formatter_class=RawDescriptionHelpFormatter,
                )
            )

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        result = import_module(f"uptime.bench.{name}").run(options)
        self.stdout.write(json.dumps(result))
        if result.get("discrepancies"):
            sys.exit(1)
