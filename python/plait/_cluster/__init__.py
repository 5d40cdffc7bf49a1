"""Calls on the machines of a cluster, through an engine that others have built.

What all engines share is plain Python and knows none of them: `place.py` reads what names a cluster, `job.py`
makes bytes of functions and calls, `work.py` runs these in a worker, `node.py` has that done in processes of
the worker where its threads take turns, `versions.py` compares the two ends.
`engine.py` is what an engine has to offer; `crew.py` keeps a bounded number of calls on it and sees to what
becomes of them, `executor.py` is the face, `lanes.py` and `sizer.py` are for maps, `start.py` begins these
and `kept.py` holds what they keep. Each engine is an adapter: `dask.py`, with `local.py` and
`orphan.py` for a cluster of one's own; `ray.py`, with `ray_home.py` for the one connection that Ray has in a
program, and `ray_watch.py` for the end of a Ray of one's own.

Promises: one opaque bytes object per chunk, which no engine looks into; each item has an outcome of its own;
an engine's worker that dies takes no item along that it was not running.
"""
