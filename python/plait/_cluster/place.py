"""What names a cluster: "dask", "dask://host:port", the same of "ray", or a client of its engine."""

import os
import sys
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

ENGINES = ("dask", "ray")

# The port that each listens on, for examples.
_PORTS = {"dask": 8786, "ray": 10001}


class Client(Protocol):
    """A client that is connected to a cluster: `distributed.Client`."""

    def scheduler_info(self, *args: Any, **kwargs: Any) -> Any:
        """What the scheduler says of itself and of its workers."""

    def get_versions(self, *args: Any, **kwargs: Any) -> Any:
        """What is installed where."""


Backend: "TypeAlias" = "str | Client"


class Place(NamedTuple):
    """A cluster as a user names it: by its engine alone for one of one's own, by address, or by client."""

    engine: str
    address: str | None = None
    client: Any = None
    # Whether the program has one of that engine already, so that none is started.
    is_there: bool = False

    @property
    def is_own(self) -> bool:
        """Whether it is a cluster that plait starts, and ends."""
        return self.address is None and self.client is None and not self.is_there

    def __str__(self) -> str:
        """As the user wrote it, or would."""
        if self.client is not None:
            return f"the {type(self.client).__name__} of {self.engine}"
        return self.engine if self.address is None else f"{self.engine}://{self.address}"


def place_of(backend: object) -> Place | None:
    """Give the cluster that a backend names; None if it is something else.

    Raises:
        ValueError: an address without a host or a port.
        TypeError: a client that has to be awaited.

    """
    if not isinstance(backend, str):
        return _place_of_client(backend)
    engine, colon, address = backend.partition(":")
    if engine not in ENGINES:
        return None
    if not colon:
        return Place(engine, is_there=engine == "ray" and _has_ray())
    try:
        parts = urlsplit(f"tcp:{address}")
        fits = address.startswith("//") and parts.netloc == address[2:] and parts.port and parts.hostname
    except ValueError:
        fits = None
    if not fits:
        raise ValueError(
            f"backend {backend!r} needs a host and a port, as in '{engine}://10.0.0.5:{_PORTS[engine]}'"
        )
    return Place(engine, address[2:])


def _has_ray() -> bool:
    """Whether this program is connected to a Ray that plait has not started, or is told where one is."""
    home = sys.modules.get("plait._cluster.ray_home")
    is_own = home.is_own() if home is not None else None
    if is_own is not None:
        return not is_own
    if os.environ.get("RAY_ADDRESS"):
        return True
    is_initialized = getattr(sys.modules.get("ray"), "is_initialized", None)
    return is_initialized is not None and is_initialized()


def _place_of_client(backend: object) -> Place | None:
    # Whoever has a client has imported its module.
    distributed = sys.modules.get("distributed")
    kind = getattr(distributed, "Client", None)
    if kind is None or not isinstance(backend, kind):
        return None
    client: Any = backend
    if client.asynchronous:
        raise TypeError(
            "this distributed.Client is asynchronous: its answers are there for one event loop alone; give "
            f"plait the scheduler's address instead, as in backend='dask://{_bare(client)}'"
        )
    return Place("dask", client=client)


def _bare(client: Any) -> str:
    address = getattr(getattr(client, "scheduler", None), "address", None) or "host:8786"
    return str(address).rpartition("://")[2]
