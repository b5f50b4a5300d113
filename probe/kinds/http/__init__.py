"""http: one request, redirects followed by hand, the answer judged."""

from probe.kinds.base import Kind
from probe.kinds.http.check import observe
from probe.kinds.http.settings import HttpSettings
from probe.kinds.http.target import clean_target

KIND = Kind(
    "http",
    "HTTP(S)",
    HttpSettings,
    observe,
    clean_target,
    summary="Ask for a URL and judge the answer: status, body, headers, certificate, speed.",
    target_label="URL",
    target_example="https://example.org/health",
    sections={
        "": ("expected_status", "assertions"),
        "Request": ("method", "http_version", "headers", "body", "auth"),
        "Answer": (
            "follow_redirects",
            "max_redirects",
            "max_body_bytes",
            "latency_degraded_ms",
            "upside_down",
            "assertion_tree",
        ),
        "TLS and certificates": (
            "verify_tls",
            "cert_expiry_days",
            "min_tls",
            "ca_certificate",
            "client_certificate",
            "client_key",
        ),
        "Network": ("ip_version", "resolver", "proxy", "proxy_username", "proxy_password"),
    },
)
