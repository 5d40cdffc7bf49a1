"""What a long `plait.map` needs: errors that end nothing, results as they come, progress, checkpoints.

`wishes.py` is what was asked for, `start.py` begins a map with any of it, and `run.py` is its loop,
`serial.py` that of the serial backend, `awaited.py` that of an event loop; `iterator.py` is what consumers
have.
`stretch.py` is the pure core: what is out, what may be handed out next. `source.py` reads the inputs,
`lanes.py` makes the calls, `chunk.py` is what a worker process runs, `deciding.py` asks which lanes.
`ledger.py` keeps results in a file, by `digest.py` and `identity.py`; `meter.py` counts, `bar.py` draws.
Worker processes load `chunk.py` and `meter.py` alone.
"""

from plait._long.meter import Progress

__all__ = ["Progress"]
