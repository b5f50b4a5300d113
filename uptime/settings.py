"""Django's settings. What an operator may change comes from uptime/environment.py."""

import os
import sys
from urllib.parse import urlsplit

import django_stubs_ext

from uptime.environment import (
    BASE_DIR,
    data_dir,
    database,
    env,
    listen_address,
    secret_keys,
    trusted_proxies,
)
from uptime.logs import logging_config

django_stubs_ext.monkeypatch()

DEBUG = env.bool("UPTIME_DEBUG", default=False)
DATA_DIR = data_dir()

_keys = secret_keys()
SECRET_KEY = _keys[0]
SECRET_KEY_FALLBACKS = _keys[1:]

HOST, PORT = listen_address()
_is_everywhere = HOST in ("127.0.0.1", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_here = f"http://{'localhost' if _is_everywhere else HOST}:{PORT}"
BASE_URL = env.str("UPTIME_BASE_URL", default=_here).rstrip("/")
_base = urlsplit(BASE_URL)
IS_HTTPS = _base.scheme == "https"

ALLOWED_HOSTS = env.list("UPTIME_ALLOWED_HOSTS", default=["*"])
CSRF_TRUSTED_ORIGINS = [f"{_base.scheme}://{_base.netloc}"]

INSTALLED_APPS = [
    "uptime.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_q",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "uptime",
    "accounts",
    "monitors",
    "incidents",
    "alerts",
    "statuspages",
]

MIDDLEWARE = [
    "uptime.proxies.trust_proxies",
    "uptime.request_log.log_requests",
    "django.middleware.security.SecurityMiddleware",
    "accounts.middleware.content_security_policy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "uptime.compression.CompressionMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.SignInMiddleware",
    "accounts.middleware.remember_request",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "uptime.urls"
ASGI_APPLICATION = "uptime.asgi.application"
WSGI_APPLICATION = None

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "uptime.pages.page_context",
            ],
        },
    },
]

DATABASES = {"default": {**database(), "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
TRUSTED_PROXIES = trusted_proxies()
# Taken off by uptime.proxies where no trusted proxy sent it.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31536000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_HTTPS
SECURE_SSL_REDIRECT = False  # the proxy in front redirects; health checks come in plain
SILENCED_SYSTEM_CHECKS = ["security.W008"]  # the check does not see that proxy

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
# Of the public pages alone; those of the team speak English.
LANGUAGES = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("es", "Español"),
    ("ru", "Русский"),
]
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True

EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_BACKEND = EMAIL_CONFIG["EMAIL_BACKEND"].replace(
    "django.core.mail.backends.smtp", "uptime.smtp"
)
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("UPTIME_EMAIL_FROM", default=f"uptime@{_base.hostname}")
TELEGRAM_API_URL = env.str("TELEGRAM_API_URL", default="https://api.telegram.org").rstrip("/")

ALLOW_PRIVATE_TARGETS = env.bool("UPTIME_ALLOW_PRIVATE_TARGETS", default=True)
WEB_WORKERS = env.int("UPTIME_WEB_WORKERS", default=2)
RETENTION_DAYS = env.int("UPTIME_RETENTION_DAYS", default=90)
METRICS_TOKEN = env.str("UPTIME_METRICS_TOKEN", default="")  # empty: /metrics is public

REDIS_URL = env.str("REDIS_URL", default="")
SHIFT_SECONDS = env.int("UPTIME_SHIFT_SECONDS", default=150)
# At most so many shifts of the check engine on this machine at once; see uptime.load.
CHECK_SHIFTS = env.int("UPTIME_CHECK_SHIFTS", default=len(os.sched_getaffinity(0)))
# A shift ends by itself (its time, a minute of overtime, two of draining) long before django-q2
# would kill it (`timeout`) or hand it out again (`retry`). Two workers a queue: a shift that drains
# and its successor run side by side.
Q_CLUSTER: dict[str, object] = {
    "name": "default",
    "workers": 2,
    "timeout": SHIFT_SECONDS + 250,
    "retry": SHIFT_SECONDS + 300,
    "ack_failures": True,  # kept as failures, not run again: the next shift or hour does better
    "save_limit": -1,
    "poll": 0.1,
    "catch_up": False,
    "queue_limit": 2,
    "recycle": 10**9,  # a worker that is replaced without need is one that was lost
    "label": "Task queue",
    **({"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}),
}

# A policy or a window may name 10,000 monitors, a page have 1,000 components: a box for each.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 12_000

# Every endpoint is an uptime.api.views.ApiView, which declares access and form itself; these are
# for whatever is not, and deny.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_SCHEMA_CLASS": "uptime.api.schema.Schema",
    "UNAUTHENTICATED_USER": None,
}
API_REQUESTS_PER_MINUTE = env.int("UPTIME_API_REQUESTS_PER_MINUTE", default=1200)  # of one token
API_STRANGERS_PER_MINUTE = env.int("UPTIME_API_STRANGERS_PER_MINUTE", default=60)  # of one address
SPECTACULAR_SETTINGS = {
    "TITLE": "Uptime",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "DESCRIPTION": (
        "JSON only. Ids are UUIDs, times ISO 8601 in UTC. Unknown fields and parameters are"
        " errors. Every write takes an `Idempotency-Key`: the same request with the same key within"
        " 24 hours gets the first answer again. Addresses end with a slash."
    ),
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": True},
    "COMPONENT_SPLIT_PATCH": False,  # the shapes for PATCH have names of their own
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,  # summaries are for readers of the API, docstrings not
    "POSTPROCESSING_HOOKS": [],
}

LOGGING_CONFIG = None
logging_config(
    is_json=env.bool("UPTIME_LOG_JSON", default=not sys.stderr.isatty()),
    level=env.str("UPTIME_LOG_LEVEL", default="INFO").upper(),
    secrets=[
        *_keys,
        DATABASES["default"].get("PASSWORD"),
        urlsplit(REDIS_URL).password,
        EMAIL_CONFIG.get("EMAIL_HOST_PASSWORD"),
        env.str("UPTIME_ADMIN_PASSWORD", default=""),
        env.str("UPTIME_REGISTRATION_TOKEN", default=""),
        METRICS_TOKEN,
    ],
)
