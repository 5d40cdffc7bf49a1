"""Coroutines: maps of them on an event loop, which is plait's own, the caller's, or that of a worker process.

Nothing is loaded here, since every map asks `kind` what its function is.
"""
