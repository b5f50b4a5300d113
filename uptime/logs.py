"""Structured logs: JSON lines in production, readable in a terminal, no secret in either.

Events are dotted with fields: `log.info("engine.batch.written", count=500, ms=12)`.
"""

import logging
import logging.config
from typing import Any

import structlog

# A field with one of these words in its name never reaches a log.
SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie", "api_key", "private_key")


def mask_secrets(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    for key in event:
        if any(word in key.lower() for word in SECRET_WORDS):
            event[key] = "********"
    return event


def logging_config(*, is_json: bool, level: str) -> None:
    """Send structlog's and the standard library's records through one formatter to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if is_json
        else structlog.dev.ConsoleRenderer(pad_event_to=32)
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.format_exc_info if is_json else structlog.processors.UnicodeDecoder(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    final: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if is_json:
        final.append(structlog.processors.format_exc_info)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [*final, renderer],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "django": {"level": "INFO" if level == "DEBUG" else level},
                "django.server": {"level": "WARNING"},
                "django-q": {"level": "WARNING", "propagate": True},
                "asyncio": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},  # its INFO lines hold whole URLs, tokens included
                "httpcore": {"level": "WARNING"},
            },
        }
    )
