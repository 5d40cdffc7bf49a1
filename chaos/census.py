"""What this process uses: descriptors, threads, memory. At the end that must be what the warm-up left."""

import ctypes
import gc
import os
from dataclasses import dataclass
from pathlib import Path

# Memory that the end may have more than the warm-up had: what allocators keep.
SPARE_MB = 96


@dataclass(frozen=True)
class Census:
    """A moment's figures; memory in MB."""

    descriptors: tuple[str, ...]
    threads: tuple[str, ...]
    anonymous_mb: float
    shared_mb: float

    @classmethod
    def take(cls) -> "Census":
        """The figures of now, after garbage was collected and free memory given back."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        status = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
        )
        return cls(
            tuple(
                sorted(filter(None, (_target(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))))
            ),
            tuple(sorted(_text(f"/proc/self/task/{task}/comm") for task in os.listdir("/proc/self/task"))),
            int(status["RssAnon"].split()[0]) / 1024,
            int(status["RssShmem"].split()[0]) / 1024,
        )

    def __str__(self) -> str:
        """One line."""
        return (
            f"{len(self.descriptors)} descriptors, {len(self.threads)} threads, "
            f"{self.anonymous_mb:.0f} MB of its own, {self.shared_mb:.0f} MB shared"
        )

    def complaints(self, before: "Census") -> list[str]:
        """What has grown since `before`."""
        found = []
        for title in ("descriptors", "threads"):
            then, now = list(getattr(before, title)), list(getattr(self, title))
            if len(now) > len(then):
                for known in then:
                    if known in now:
                        now.remove(known)
                found.append(f"{title} grew from {len(then)}: {now}")
        for title in ("anonymous_mb", "shared_mb"):
            then_mb, now_mb = getattr(before, title), getattr(self, title)
            if now_mb > then_mb + SPARE_MB:
                found.append(f"memory grew ({title.removesuffix('_mb')}): {then_mb:.0f} to {now_mb:.0f} MB")
        return found


def _target(path: str) -> str:
    try:
        target = os.readlink(path)
    except OSError:
        # The descriptor that listed the folder.
        return ""
    return target.split(":")[0] if target.startswith(("socket:", "pipe:")) else target


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "?"
