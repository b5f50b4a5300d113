"""Structured logs: JSON lines in production, readable in a terminal, no secret in either.

Events are dotted with fields: `log.info("engine.batch.written", count=500, ms=12)`.

Whatever a handler writes went through `mask_secrets` last: a field whose name speaks of a secret is
masked whole, and every text, tracebacks included, is scrubbed of what looks like one.
"""

import logging
import logging.config
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import structlog

MASK = "********"

# A field with one of these words in its name never reaches a log.
SECRET_WORDS = (
    "password", "passwd", "secret", "token", "authorization", "cookie", "credential",
    "api_key", "apikey", "private_key", "client_key", "ping_key", "signature",
)  # fmt: skip

# Below this length a configured secret is too likely to be a word of every other line ("postgres");
# the patterns still catch it in its usual places.
LONG_ENOUGH = 12

_NAMES = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|private[_-]?key|signature)"
_NAME_WORDS = ("pass", "pwd", "secret", "token", "key", "signature")
_HEADERS = r"(?:(?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]*token|x-api-key)"
_HEADER_WORDS = ("authorization", "cookie", "x-")

# Each pattern is tried only where one of its words stands in the text (in lower case): most texts
# hold none, and looking for words costs a fifth of trying the patterns.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = tuple(
    (words, re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement)
    for words, pattern, replacement in (
        (
            ("private key-",),
            r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END|\Z)",
            rf"\1{MASK}\2",
        ),
        # the user part of a URL, up to the last "@" of the authority: a password may hold one
        (("://",), r"(://)[^\s/]*@", rf"\1{MASK}@"),
        # a Telegram bot's token, in a path or alone
        (("/bot",), r"(/bot)[^/\s'\"]*(?::|%3A)[^/\s'\"]+", rf"\1{MASK}"),
        ((":aa",), r"\b\d{6,}:AA[\w-]{30,}", MASK),
        # who knows these addresses may use them: pings, links of messages, subscriptions,
        # calendars, password resets, invitations
        (("/ping/",), r"(/ping/)[^/\s?'\"]+", rf"\1{MASK}"),
        (("/act/",), r"(/act/)[^/\s?'\"]+", rf"\1{MASK}"),
        (("/subscriptions/",), r"(/subscriptions/)[^/\s?'\"]+", rf"\1{MASK}"),
        ((".ics",), r"(/on-call/[^/\s?'\"]+/)[^/\s?'\"]+(\.ics)", rf"\1{MASK}\2"),
        (("invitations/",), r"((?<!team/)invitations/)[^/\s?'\"]+", rf"\1{MASK}"),
        (("reset/",), r"(reset/)[^/\s?'\"]+/[^/\s?'\"]+", rf"\1{MASK}"),
        # a header and its value: to the closing quote where it is quoted, else to the line's end
        (
            _HEADER_WORDS,
            rf"({_HEADERS}b?[\"']?\s*[:=,]\s*b?)([\"'])(?:\\.|(?!\2).)*",
            rf"\1\2{MASK}",
        ),
        (_HEADER_WORDS, rf"({_HEADERS}\s*[:=]\s*)[^\s\"'][^\r\n]*", rf"\1{MASK}"),
        (("bearer", "basic"), r"\b(bearer|basic)(\s+)[\w.~+/=-]{16,}", rf"\1\2{MASK}"),
        (("upt_",), r"\bupt_[\w-]+", MASK),
        # name = value, in a URL's query, a libpq connection string, JSON or a repr
        (
            _NAME_WORDS,
            rf"({_NAMES}\w*b?[\"']?\s*[:=]\s*b?)([\"'])(?:\\.|(?!\2).)*",
            rf"\1\2{MASK}",
        ),
        (
            _NAME_WORDS,
            rf"({_NAMES}\w*\s*[:=]\s*)[^\s\"'&,;)\]}}][^\s&,;)\]}}]*",
            rf"\1{MASK}",
        ),
    )
)

_configured: tuple[str, ...] = ()


def know_secrets(values: Iterable[object]) -> None:
    """Mask these values, the installation's own secrets, wherever they stand in a text."""
    global _configured
    long = {str(value) for value in values if value and len(str(value)) >= LONG_ENOUGH}
    spellings = long | {quote(value, safe="") for value in long}
    _configured = tuple(sorted(spellings, key=len, reverse=True))


def scrub(text: str) -> str:
    """`text` without what is, or looks like, a secret. It errs towards masking too much."""
    for secret in _configured:
        text = text.replace(secret, MASK)
    lowered = text.lower()
    for words, pattern, replacement in _PATTERNS:
        if any(word in lowered for word in words):
            text = pattern.sub(replacement, text)
    return text


def _is_secret(name: object) -> bool:
    lowered = str(name).lower().replace("-", "_")
    return any(word in lowered for word in SECRET_WORDS)


def _masked(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: MASK if _is_secret(key) else _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(item) for item in value]
    return scrub(value if isinstance(value, str) else str(value))


def mask_secrets(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """The last processor before the renderer: nothing that it returns holds a secret."""
    return {key: MASK if _is_secret(key) else _masked(value) for key, value in event.items()}


def spare_traceback(record: logging.LogRecord) -> bool:
    """A filter that lets all pass, without the traceback if the database was away.

    Every request fails then, and the pool of connections says why.
    """
    if record.exc_info:
        from uptime.database import is_database_away  # Django: the supervisor does without

        if is_database_away(record.exc_info[1]):
            record.exc_info = None
    return True


def logging_config(*, is_json: bool, level: str, secrets: Iterable[object] = ()) -> None:
    """Send structlog's and the standard library's records through one formatter to stderr.

    `secrets` are the installation's own, see `know_secrets`; empty ones and None are let pass.
    """
    know_secrets(secrets)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if is_json
        else structlog.dev.ConsoleRenderer(
            pad_event_to=32, exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.StackInfoRenderer(),
                        structlog.processors.format_exc_info,
                        mask_secrets,
                        renderer,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "django": {"level": "INFO" if level == "DEBUG" else level},
                # 4xx stand in the access log already
                "django.request": {"level": "ERROR", "filters": [spare_traceback]},
                "django.server": {"level": "WARNING"},
                "django-q": {"level": "WARNING", "propagate": True},
                "asyncio": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},  # its INFO lines hold whole URLs, tokens included
                "httpcore": {"level": "WARNING"},
            },
        }
    )
