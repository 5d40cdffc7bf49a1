"""Which limits can be asked for, of what, and what is said of the others."""

import plait
import pytest
import workloads as w


@pytest.mark.parametrize("option, bad, error", [
    ("timeout", 0, ValueError), ("timeout", -1, ValueError), ("timeout", float("nan"), ValueError),
    ("timeout", "1", TypeError), ("timeout", True, TypeError),
    ("retries", -1, ValueError), ("retries", 1.5, TypeError), ("retries", None, TypeError),
])  # fmt: skip
def test_limits_that_make_no_sense(pool_face, option, bad, error):
    with pytest.raises(error, match=option):
        pool_face(2, **{option: bad})
    with pool_face(2) as pool, pytest.raises(error, match=option):
        pool.options(**{option: bad})
    with pytest.raises(error, match=option):
        plait.map(w.add_one, [1], **{option: bad})


@pytest.mark.parametrize("option", ["memory_limit", "max_memory_growth"])
@pytest.mark.parametrize("bad, error", [
    (0, ValueError), (-5, ValueError), ("", ValueError), ("many", ValueError), ("3 XB", ValueError),
    (b"1", TypeError), (True, TypeError), ("1e999GB", ValueError), (float("nan"), ValueError),
])  # fmt: skip
def test_sizes_that_are_none(process_face, option, bad, error):
    with pytest.raises(error, match=option):
        process_face(1, **{option: bad})


@pytest.mark.parametrize("size, bytes_", [
    (1000, 1000), ("1000", 1000), ("1k", 1000), ("1 KB", 1000), ("1KiB", 1024), ("1.5GiB", 3 << 29),
    ("300MB", 300_000_000), ("2 tib", 2 << 40), (1e9, 10**9),
])  # fmt: skip
def test_sizes_are_read_as_people_write_them(size, bytes_):
    from plait._options import parse_size

    assert parse_size("memory_limit", size) == bytes_


@pytest.mark.parametrize("backend", ["threads", "serial"])
@pytest.mark.parametrize("option", [{"memory_limit": "1GiB"}, {"max_memory_growth": 1}, {"grace": 1.0}])
def test_limits_that_only_processes_have(backend, option):
    [name] = option
    with pytest.raises(ValueError, match=f"{name} is an option of backend 'processes'"):
        plait.Executor(backend, **option)


def test_views_share_the_pool(process_face):
    pool = process_face(1)
    view = pool.options(timeout=5)
    assert view.submit(w.pid).result() == pool.submit(w.pid).result()
    assert view.options(retries=1).submit(w.add_one, 1).result() == 2
    assert list(view.map(w.add_one, range(5))) == [1, 2, 3, 4, 5]
    view.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(w.add_one, 1)
