"""What `plait.Process` takes as arguments: pipes, sockets, what multiprocessing shares; what it refuses."""

import multiprocessing
import os
import socket
import threading
from multiprocessing import resource_tracker

import plait
import pytest
from outside import run_program

# It is no process of a test's.
resource_tracker.ensure_running()

SPAWN = multiprocessing.get_context("spawn")


def started(target, *args):
    process = plait.Process(target=target, args=args)
    process.start()
    return process


def files():
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def echo(pipe):
    for item in iter(pipe.recv, None):
        pipe.send(item)


def test_a_pipe_both_ways():
    ours, theirs = multiprocessing.Pipe()
    process = started(echo, theirs)
    theirs.close()
    for item in (1, "two", [3.0]):
        ours.send(item)
        assert ours.recv() == item
    ours.send(None)
    process.join()
    # Nobody else has kept the other end.
    with pytest.raises(EOFError):
        ours.recv()
    ours.close()


def test_a_pipe_one_way():
    reader, writer = multiprocessing.Pipe(duplex=False)
    process = started(writer.send, "hello")
    writer.close()
    assert reader.recv() == "hello"
    process.join()
    reader.close()


def test_a_socket():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        started(theirs.sendall, b"hello").join()
        assert ours.recv(10) == b"hello"


def test_many_pipes_and_none_is_left_open():
    started(int).join()
    before = files()
    pipes = [os.pipe() for _ in range(300)]
    connections = [multiprocessing.connection.Connection(writer, readable=False) for _, writer in pipes]

    def number():
        for n, connection in enumerate(connections):
            connection.send(n)

    process = plait.Process(target=number)
    process.start()
    for connection in connections:
        connection.close()
    process.join()
    for n, (reader, _) in enumerate(pipes):
        with multiprocessing.connection.Connection(reader, writable=False) as connection:
            assert connection.recv() == n
    del process
    assert files() <= before + 5


def test_what_the_spawn_context_shares():
    queue, lock, value, event = SPAWN.Queue(), SPAWN.Lock(), SPAWN.Value("i", 3), SPAWN.Event()

    def use():
        event.wait()
        with lock:
            value.value += 1
            queue.put(value.value)

    processes = [started(use) for _ in range(3)]
    event.set()
    assert sorted(queue.get() for _ in range(3)) == [4, 5, 6]
    for process in processes:
        process.join()
    assert value.value == 6
    queue.close()
    queue.join_thread()


def test_named_shared_memory_outlives_who_looked_into_it():
    ended = run_program(
        "-c",
        """if True:
        import plait
        from multiprocessing import shared_memory

        memory = shared_memory.SharedMemory(create=True, size=8)

        def fill(memory):
            memory.buf[:2] = b"ok"
            memory.close()

        for _ in range(2):
            process = plait.Process(target=fill, args=(memory,))
            process.start()
            process.join()
        again = shared_memory.SharedMemory(memory.name)
        print(bytes(again.buf[:2]).decode())
        again.close()
        memory.close()
        memory.unlink()
        """,
    )
    assert ended.lines == ["ok"]


def test_arrays_in_shared_memory_are_seen_by_both():
    numpy = pytest.importorskip("numpy")
    array = plait.zeros(100_000)

    def fill():
        array[:] = 3

    started(fill).join()
    assert (array == 3).all()
    # A copy, since it is not shared.
    plain = numpy.zeros(100_000)

    def change(items):
        items[:] = 5
        return items

    assert (started(change, plain).join() == 5).all() and not plain.any()


def test_locks_of_the_fork_context_are_refused_with_a_remedy():
    fork = multiprocessing.get_context("fork")
    before = files()
    for args, path in [((1, fork.Lock()), r"args\[1\]"), (([fork.Event()],), r"args\[0\]\[0\]")]:
        with pytest.raises(plait.NotPicklable, match=rf"^{path}.*multiprocessing.get_context\('spawn'\)$"):
            started(print, *args)
    assert files() <= before + 5


def test_what_cannot_be_sent_is_named():
    with pytest.raises(plait.NotPicklable, match=r"^kwargs\['file'\]"):
        plait.Process(target=print, kwargs={"file": threading.Lock()}).start()
    process = plait.Process(target=print)
    process.lock = threading.Lock()
    with pytest.raises(plait.NotPicklable, match=r"^self\.lock"):
        process.start()
    # It was not started, and can be once that is mended.
    assert process.pid is None and not multiprocessing.active_children()
    process.lock = None
    process.start()
    process.join()
