"""Fixtures of the tests of long maps: the map on each backend, and a file for its checkpoint."""

import plait
import pytest

BACKENDS = ["serial", "threads", "processes", "auto"]


@pytest.fixture(params=BACKENDS)
def pmap(request):
    """`plait.map` on each backend, with two workers."""

    def pmap(fn, *iterables, **options):
        return plait.map(fn, *iterables, backend=request.param, **{"workers": 2, **options})

    pmap.backend = request.param
    return pmap


@pytest.fixture
def path(tmp_path):
    """Where a checkpoint may be."""
    return str(tmp_path / "results.ckpt")
