"""The prober alone: checks of one kind against one target, as many at once as asked for.

Runs in a process of its own, without Django or a database. Without --url it starts a loopback
target (1 KiB answers; for https and tls a certificate of RSA 2048 bits from an authority of its
own, which is verified in a full TLS 1.3 handshake for each check; for dns a name server; for icmp
and traceroute the machine itself, for icmp three packets a check, 0.2 s apart, so ask for many at
once; for mail servers, databases and the like a look-alike that says just what is needed).
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from probe.kinds import KINDS
from probe.prober import Prober
from probe.values import Job, Spec, Status
from uptime.bench.conversations import CONVERSATIONS
from uptime.bench.floor import floor_cpu_ms
from uptime.bench.measure import peak_memory_mb
from uptime.bench.target import loopback_name_server, loopback_partner, loopback_target

KEYS = {
    "cpu_ms_per_probe": "CPU of the probing process per check, user and system",
    "floor_cpu_ms_per_probe": "CPU of the same number of bare exchanges",
    "probes_per_s": "checks that ended per second of wall clock",
    "rss_mb": "largest memory of the probing process",
    "errors": "checks that were not up",
}

KINDS_MEASURED = ["http", "https", "tcp", "icmp", "dns", "tls", "traceroute", *CONVERSATIONS]


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--kind", choices=KINDS_MEASURED, default="http", help="(http)")
    parser.add_argument("--count", type=int, default=5000, help="checks to make (5000)")
    parser.add_argument("--concurrency", type=int, default=100, help="at once (100)")
    parser.add_argument("--url", help="check this instead of a loopback target")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    kind = options["kind"]
    with loopback(kind, options["url"]) as (url, environment):
        print(f"{options['count']} {kind} checks of {url}, {options['concurrency']} at once")
        asked = {"url": url, "count": options["count"], "concurrency": options["concurrency"]}
        answer = subprocess.run(  # noqa: S603 - this interpreter, on this module
            [sys.executable, "-m", "uptime.bench.probe", json.dumps(asked)],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
            text=True,
        )
    figures: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])  # after what was logged
    print(
        f"{figures['cpu_ms_per_probe']} ms of CPU each, floor {figures['floor_cpu_ms_per_probe']}"
    )
    return figures


@contextmanager
def loopback(kind: str, url: str | None = None) -> Iterator[tuple[str, dict[str, str]]]:
    """The URL to check, its scheme the kind, and the environment in which it is trusted: of a
    target that is started for it, unless there is one."""
    if url is not None:
        yield f"{kind}://{url.split('://')[-1]}", {}
    elif kind in ("icmp", "traceroute"):
        yield f"{kind}://127.0.0.1", {}
    elif kind in CONVERSATIONS:
        with loopback_partner(kind) as url:
            yield url, {}
    elif kind == "dns":
        with loopback_name_server() as url:
            yield url, {}
    elif kind in ("https", "tls"):
        with tempfile.TemporaryDirectory() as folder:
            authorities, server = Path(folder) / "authorities.pem", Path(folder) / "server.pem"
            make_certificates(authorities, server)
            with loopback_target(server) as url:
                yield url.replace("https:", f"{kind}:"), {"SSL_CERT_FILE": str(authorities)}
    else:
        with loopback_target() as url:
            yield url.replace("http:", f"{kind}:"), {}


def make_certificates(authorities: Path, server: Path) -> None:
    """Write the system's authorities with one more, and a server's key and certificate from it."""
    # here, because the probing process is this module as well, and its memory is measured
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    root_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Benchmark Root")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)

    def builder(subject: x509.Name, public_key: rsa.RSAPublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(issuer_name=root_name, subject_name=subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=90))
        )

    root = builder(root_name, root_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    leaf = builder(name, key.public_key()).add_extension(names, critical=False)
    pem = serialization.Encoding.PEM
    root_pem = root.sign(root_key, hashes.SHA256()).public_bytes(pem)
    leaf_pem = leaf.sign(root_key, hashes.SHA256()).public_bytes(pem)
    system = ssl.get_default_verify_paths().cafile
    authorities.write_bytes((Path(system).read_bytes() if system else b"") + root_pem)
    server.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + leaf_pem
    )


# The probing process


def _job(url: str) -> Job:
    parts = urlsplit(url)
    settings: dict[str, Any]
    name = "http" if parts.scheme == "https" else parts.scheme
    kind = KINDS[name]
    target, settings = parts.netloc, {}
    match name:
        case "http":
            target = url
        case "websocket":
            target = f"ws://{parts.netloc}/"
        case "dns":
            target, settings = parts.path.strip("/"), {"resolver": parts.netloc}
        case "domain":
            target, settings = "example.org", {"rdap_url": f"http://{parts.netloc}"}
        case "grpc":
            settings = {"tls": False}
    spec = Spec(
        monitor_id=uuid4(),
        revision=1,
        kind=name,
        target=kind.clean_target(target),
        interval=timedelta(seconds=60),
        timeout=timedelta(seconds=10),
        failure_threshold=2,
        recovery_threshold=1,
        retry_interval=timedelta(seconds=5),
        settings=kind.settings.model_validate(settings),
    )
    return Job(1, spec, datetime.now(UTC))


async def _probe(url: str, count: int, concurrency: int) -> tuple[float, float, int]:
    """CPU and wall-clock seconds of `count` checks, and how many were not up."""
    job = _job(url)
    left = iter(range(count))
    errors = 0

    async def keep_probing(prober: Prober) -> None:
        nonlocal errors
        for _ in left:
            observation = await prober.observe(job)
            errors += observation.status != Status.UP

    async with Prober() as prober:
        await prober.observe(job)  # the first one loads things
        cpu_s, wall_s = time.process_time(), time.monotonic()
        await asyncio.gather(*(keep_probing(prober) for _ in range(concurrency)))
        return time.process_time() - cpu_s, time.monotonic() - wall_s, errors


def main(asked: Mapping[str, Any]) -> dict[str, float]:
    url, count = asked["url"], asked["count"]
    cpu_s, wall_s, errors = asyncio.run(_probe(url, count, asked["concurrency"]))
    peak_mb = peak_memory_mb()
    return {
        "cpu_ms_per_probe": round(cpu_s / count * 1000, 4),
        "floor_cpu_ms_per_probe": round(floor_cpu_ms(url, count), 4),
        "probes_per_s": round(count / wall_s, 1),
        "rss_mb": round(peak_mb, 1),
        "errors": errors,
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
