"""Hearing what is logged, and what to log."""

import contextlib
import logging
import os

LOG = logging.getLogger("plait_tests.logs")


class Heard(logging.Handler):
    """Keeps what it is given; `then` is called with each record."""

    def __init__(self, then=None):
        super().__init__()
        self.records = []
        self.then = then

    def emit(self, record):
        self.records.append(record)
        if self.then is not None:
            self.then(record)

    @property
    def texts(self):
        return [record.getMessage() for record in self.records]


@contextlib.contextmanager
def hearing(logger, level, then=None):
    handler = Heard(then)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def log_some(n):
    for at in range(n):
        LOG.info("record %d of %s", at, n, extra={"at": at})
        LOG.debug("not this one")
    return os.getpid()
