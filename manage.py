#!/usr/bin/env python
"""The command line: `manage.py up` starts the whole product, `manage.py help` lists the rest."""

import os
import sys


def main() -> int:
    """Run the command; what an operator can mend is told in one line. Returns the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "uptime.settings")
    if sys.argv[1:] == ["up"]:
        # Before the settings are read: that makes the data directory, which `up` looks at first.
        from uptime import supervisor

        return supervisor.main()

    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    from uptime.preflight import Refusal, explain

    try:
        execute_from_command_line(sys.argv)
    except (Refusal, ImproperlyConfigured) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except DatabaseError as error:
        sentence = explain(error)
        if sentence is None:
            raise
        print(f"Error: {sentence}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
