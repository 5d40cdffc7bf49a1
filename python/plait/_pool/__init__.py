"""`plait.Pool` and `plait.ThreadPool`: the interface of `multiprocessing.pool` over plait's workers.

Calls go the same way as those of plait's executors: the thread that calls submits, and the one that asks for
a result waits for it. There is no thread of the pool's own between them, but for two that come when they are
needed: one that runs callbacks (`courier.py`), and one for each `imap` whose input has to be read while
others wait (`feed.py`).

`face.py` has the methods, `results.py` what the asynchronous ones return, `iterators.py` what `imap` returns,
`engines.py` the workers, `failures.py` the errors as users of `multiprocessing` catch them.
"""

from plait._pool.processes import Pool
from plait._pool.threads import ThreadPool

__all__ = ["Pool", "ThreadPool"]
