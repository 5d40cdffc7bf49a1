"""The stdlib's own tests of `concurrent.futures`, run on plait's classes by `test_stdlib_futures.py`."""
