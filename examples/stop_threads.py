"""Threads that work until they are told to stop: Ctrl-C sets an Event, and `join` gives how far each has got.

python examples/stop_threads.py      # press Ctrl-C when you have seen enough

Ctrl-C reaches the main thread alone. The others go on until they look at the event, so none stops halfway.
"""

import threading

import plait


def look(stop):
    """Look for something again and again, until `stop` is set; give how often."""
    looks = 0
    while not stop.wait(0.02):
        looks += 1
    return looks


def main():
    """Start the threads, wait, and stop them on Ctrl-C."""
    stop = threading.Event()
    threads = [plait.Thread(target=look, args=(stop,), name=f"scout {n}") for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    try:
        print("looking; Ctrl-C ends it", flush=True)
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        stop.set()
        for thread in threads:
            print(f"{thread.name} has stopped after {thread.join()} looks")


if __name__ == "__main__":
    main()
