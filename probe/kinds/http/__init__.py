"""http: one request, redirects followed by hand, the answer judged."""

from probe.kinds.base import Kind
from probe.kinds.http.check import observe
from probe.kinds.http.settings import HttpSettings
from probe.kinds.http.target import clean_target

KIND = Kind("http", "HTTP(S)", HttpSettings, observe, clean_target)
