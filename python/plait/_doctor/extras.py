"""Packages that plait works with, and the clusters that the environment names."""

import os
import socket
import time
from collections.abc import Mapping
from functools import partial
from threading import Thread
from typing import Any

from plait._doctor.finding import Finding, Section, seconds
from plait._doctor.probe import Probe

NAME = "extras"
finding = partial(Finding, NAME)

# What plait itself needs, and what it works with.
NEEDED = ("cloudpickle", "tqdm", "threadpoolctl")
WELCOME = ("numpy", "joblib", "uvloop", "dask", "distributed", "ray")

# In seconds: a scheduler that is there answers sooner, also from the other end of the world.
PATIENCE = 0.6
_BUSY = 0.2

_PORTS = {"dask": 8786, "ray": 10001}


def look(probe: Probe, clusters: "Clusters") -> Section:
    """Look at the packages and the clusters; the probe has imported joblib if it is there."""
    section = Section(NAME)
    section.look("packages", judge_packages, lambda: read_versions(NEEDED + WELCOME))
    section.look("joblib's backend", judge_backend, lambda: probe.result()["backend"])
    section.look("clusters", judge_clusters, clusters.result)
    return section


def judge_packages(versions: dict[str, str | None]) -> list[Finding]:
    """Which of them are installed."""
    found = []
    for name, version in versions.items():
        if version is not None:
            found.append(finding(name, version, version))
        elif name in NEEDED:
            text = "not installed, and plait needs it"
            found.append(finding(name, None, text, "error", f"pip install {name}"))
    absent = [name for name in versions if versions[name] is None and name not in NEEDED]
    if absent:
        found.append(finding("not installed", absent, ", ".join(absent)))
    return found


def judge_backend(registered: bool | None) -> Finding | None:
    """Whether joblib knows of plait; nothing where joblib was not loaded."""
    if registered is None:
        return None
    if registered:
        text = 'there for joblib.parallel_config(backend="plait") once both are imported'
        return finding("joblib's backend", True, text)
    text = "this joblib does not take plait's backend"
    return finding("joblib's backend", False, text, "warn", "pip install --upgrade joblib")


def judge_clusters(found: list[dict[str, Any]]) -> list[Finding]:
    """Whether each cluster that the environment names answers.

    Args:
        found: For each one `variable`, `address`, and `seconds` that it took to answer, or None and `why` it
            did not; both None where the address names no host.

    """
    return [judge_cluster(cluster) for cluster in found]


def judge_cluster(cluster: dict[str, Any]) -> Finding:
    """Whether one of them answers."""
    variable, address = cluster["variable"], cluster["address"]
    if cluster["seconds"] is not None:
        text = f"{address} answers in {seconds(cluster['seconds'])}"
        return finding(variable, cluster, text)
    if cluster["why"] is None:
        return finding(variable, cluster, f"{address!r} names no host: it is looked for when it is needed")
    text = f"{address} cannot be reached: {cluster['why']}"
    start = "dask scheduler" if variable.startswith("DASK") else "ray start --head"
    remedy = f"start it ({start}), let its port through, or correct {variable}"
    return finding(variable, cluster, text, "warn", remedy)


def parse_address(address: str, port: int) -> tuple[str, int] | None:
    """Take host and port from `tcp://host:8786`, `host:8786`, `[::1]:8786` or `host`; None for `auto`.

    Args:
        address: As a variable has it.
        port: Where it names none.

    Raises:
        ValueError: it is no address.

    """
    rest = address.partition("://")[2] if "://" in address else address
    if "://" not in address and address in ("auto", "local"):
        return None
    rest = rest.partition("/")[0].rpartition("@")[2]
    if rest.startswith("["):
        host, _, tail = rest[1:].partition("]")
        tail = tail.removeprefix(":")
    else:
        host, _, tail = rest.partition(":")
    if not host:
        raise ValueError(f"{address!r} is no address such as tcp://host:{port}")
    if tail:
        if not tail.isdigit() or not 0 < int(tail) < 1 << 16:
            raise ValueError(f"{tail!r} is no port")
        port = int(tail)
    return host, port


class Clusters:
    """Calls what the environment names, while the doctor looks at other things. Nothing else is called."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Begin."""
        self._found: list[dict[str, Any]] = []
        self._threads: list[Thread] = []
        self._end = time.monotonic() + PATIENCE
        for variable, kind in (("DASK_SCHEDULER_ADDRESS", "dask"), ("RAY_ADDRESS", "ray")):
            address = environment.get(variable, "").strip()
            if not address:
                continue
            cluster = {
                "variable": variable,
                "address": address,
                "seconds": None,
                "why": f"no answer within {seconds(PATIENCE)}",
            }
            self._found.append(cluster)
            # A name server that does not answer cannot be left but by a thread.
            thread = Thread(target=_call, args=(cluster, _PORTS[kind]), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                cluster["why"] = str(error)
            else:
                self._threads.append(thread)

    def result(self) -> list[dict[str, Any]]:
        """Wait for the answers, until the time is over."""
        for thread in self._threads:
            # On a busy machine a thread may have had no processor yet.
            thread.join(max(_BUSY, self._end - time.monotonic()))
        return [dict(cluster) for cluster in self._found]


def _call(cluster: dict[str, Any], port: int) -> None:
    try:
        place = parse_address(cluster["address"], port)
        if place is None:
            cluster["why"] = None
            return
        begin = time.monotonic()
        socket.create_connection(place, PATIENCE).close()
        cluster["seconds"] = time.monotonic() - begin
    except TimeoutError:
        return
    except OSError as error:
        cluster["why"] = error.strerror or str(error)
    except ValueError as error:
        cluster["why"] = str(error)


def read_versions(names: tuple[str, ...]) -> dict[str, str | None]:
    """Read the installed version of each, None where there is none."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
