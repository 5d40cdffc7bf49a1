"""A server on loopback that takes its time, for programs that wait for the network."""

import contextlib
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator


def _answer_slowly(connection: socket.socket, delay: float) -> None:
    with connection:
        while connection.recv(1024):
            time.sleep(delay)
            connection.sendall(b"x" * 100)


def _serve(listener: socket.socket, delay: float) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer_slowly, args=(connection, delay), daemon=True).start()


@contextlib.contextmanager
def slow_server(delay: float) -> Iterator[tuple[str, int]]:
    """Serve on a free port until the block is left; each answer comes after `delay` seconds."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(listener, delay), daemon=True)
    server.start()
    try:
        yield listener.getsockname()
    finally:
        server.kill()
        server.join()
        listener.close()


def ask(connection: socket.socket) -> bytes:
    """One question and its answer."""
    connection.sendall(b"?")
    return connection.recv(1024)
