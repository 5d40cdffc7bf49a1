"""The loop of a long map: fills the lanes, takes what arrives, keeps it in the file, hands it out.

All of it happens in the thread that asks for results; only `_arrivals` is touched by others.
"""

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from typing import Any

from plait._auto.results import Batch
from plait._long.ends import ends_map
from plait._long.lanes import Lanes, Unusable, has_ended
from plait._long.ledger import Ledger
from plait._long.meter import PERIOD, Meter
from plait._long.source import Source
from plait._long.stretch import Order, Stretch
from plait._long.wishes import Wishes

# Known results that are handed out together.
_KNOWN = 64

# In place of results: whoever asks for them waits for what arrives, as it may.
PAUSE: Iterator[Any] = iter(())

# What ends a map whatever is to become of errors.
_ENDS = (BrokenExecutor, MemoryError)


class Run:
    """One map with what it needs, and what is out."""

    def __init__(
        self,
        source: Source,
        wishes: Wishes,
        ledger: Ledger | None,
        decide: Callable[["Run"], Lanes],
        buffersize: int | None,
        *,
        is_lazy: bool = False,
    ) -> None:
        """`decide` gives the lanes, once there is something to call; `is_lazy`: they will be lazy ones."""
        self.source = source
        self.wishes = wishes
        self.choice: Any = None
        self.order = Order(wishes.ordered)
        self.meter = Meter(wishes.progress, source.total)
        self.buffersize = buffersize
        self._ledger = ledger
        self._decide = decide
        self._lanes: Lanes | None = None
        self._starts_lazily = is_lazy
        # Lanes that were left, with calls still on them.
        self._earlier: list[Lanes] = []
        self._arrivals: queue.SimpleQueue[Stretch] = queue.SimpleQueue()
        # No more inputs are read; `_end` is raised when all that is out was handed out.
        self._stopped = False
        self._end: BaseException | None = None
        self._closed = False
        # What is handed out now.
        self._batch = Batch([])

    @property
    def goes_on(self) -> bool:
        """Whether a call that raises leaves the others alone."""
        return self.wishes.errors != "raise"

    def arrived(self, stretch: Stretch) -> None:
        """A stretch has ended; any thread may say so."""
        self._arrivals.put(stretch)

    def begin(self) -> None:
        """Start the first calls."""
        try:
            self.meter.tick(0, always=True)
            if not self._starts_lazily:
                self._fill()
            end = self._end or self.source.failure
            if end is not None and not self.order.items:
                self._end = self.source.failure = None
                raise end
        except BaseException:
            self.close()
            raise

    def batches(self) -> Iterator[Iterator[Any]]:
        """Iterators over results, one after the other."""
        try:
            while not self._closed:
                self._take_arrivals()
                stretch = self.order.pop()
                if stretch is None:
                    self._fill()
                    # What is in the checkpoint arrives at once.
                    stretch = self.order.pop()
                if stretch is None:
                    ended = self._stopped or self.source.is_over
                    if ended and self.order.head is None and self._arrivals.empty():
                        break
                    pause = self._wait()
                    if pause is not None:
                        yield pause
                    continue
                # With a limit, room is made by what was handed out.
                is_lazy = self._starts_lazily if self._lanes is None else self._lanes.is_lazy
                if not is_lazy and (len(stretch) == 1 or self.buffersize is None):
                    self._fill()
                if self._ledger is not None and self._ledger.is_due:
                    self._write()
                yield from self._hand_out(stretch)
            end = self._end or self.source.failure
            if end is not None and not self._closed:
                raise end
        finally:
            self.close()

    def close(self) -> None:
        """Stop what runs; write what has arrived; leave nothing open."""
        if self._closed:
            return
        self._closed = True
        idle = True
        try:
            for stretch in self.order:
                if stretch.future is not None:
                    stretch.future.cancel()
                    idle = idle and stretch.future.done()
            self.source.close()
            if self._ledger is not None:
                self._keep_late()
        finally:
            for stretch in self.order:
                stretch.future = None
            self.order.clear()
            self.decide_again()
            for lanes in self._earlier:
                lanes.close(idle)
            self._earlier.clear()
            self.meter.close()

    def give_up(self) -> None:
        """Close it, and forget what was not handed out."""
        try:
            self.close()
        finally:
            self._batch.forget()

    def _keep_late(self) -> None:
        """Keep what has arrived and was not asked for any more, and close the file."""
        assert self._ledger is not None
        late = {stretch: None for stretch in self.order if has_ended(stretch)}
        while not self._arrivals.empty():
            late[self._arrivals.get_nowait()] = None
        try:
            for stretch in late:
                with suppress(Unusable):
                    stretch.lanes.collect(stretch)
                    self._keep(stretch)
        finally:
            self._ledger.close()

    def _fill(self) -> None:
        """Send what there is room for."""
        while not self._stopped:
            if self._lanes is not None and self._lanes.is_stale:
                self.decide_again()
            room = self._room()
            if room < 1:
                return
            try:
                # Seen before the lanes are decided on, which takes calls.
                stretch = self.source.take(room if self._lanes is not None else 1)
            except BaseException:
                self._stopped = True
                raise
            if stretch is None:
                return
            if stretch.is_known:
                self.order.on_sent(stretch)
                self._over(stretch)
            elif self._lanes is None:
                self.source.put_back(stretch)
                self._lanes = self._decide(self)
                if self.wishes.ordered:
                    self._lanes.come_in_order()
            else:
                self.send(stretch)

    def _room(self) -> int:
        """How many items may be sent together now."""
        lanes = self._lanes
        if lanes is None:
            return 1 if self.order.items < (self.buffersize or _KNOWN) else 0
        size, most = lanes.sizer.size, self.buffersize or lanes.ahead
        if lanes.is_lazy:
            return 0 if self.order.items else min(size, most)
        if self.buffersize is not None:
            size = min(size, most if lanes.sizer.is_fixed else max(1, most // (2 * lanes.workers)))
        free = most - self.order.items
        return size if free >= size or not self.order.items else 0

    def send(self, stretch: Stretch) -> None:
        """Have its calls made."""
        assert self._lanes is not None
        if self._begin(stretch):
            self.order.on_sent(stretch)

    def adopt(self, stretch: Stretch, lanes: Lanes) -> None:
        """Take what runs already, or has ended; `arrived` is told of it as of any other."""
        stretch.lanes = lanes
        self.order.on_sent(stretch)

    def decide_again(self) -> None:
        """Ask for other lanes before further items are sent."""
        if self._lanes is not None:
            self._earlier.append(self._lanes)
            self._lanes = None

    def _begin(self, stretch: Stretch) -> bool:
        assert self._lanes is not None
        try:
            self._lanes.begin(stretch)
        except _ENDS as error:
            self._stop(error)
        else:
            return True
        return False

    def _stop(self, error: BaseException | None = None) -> None:
        self._stopped = True
        self._end = self._end or error

    def _wait(self) -> Iterator[Any] | None:
        """Wait until a stretch arrives, telling of progress meanwhile; or give `PAUSE`."""
        if self._ledger is not None:
            self._write()
        head = self.order.head
        if head is not None and head.future is not None and head.lanes.waits_by_future:
            self._wait_for(head)
            self._arrivals.put(head)
            return None
        while True:
            try:
                stretch = self._arrivals.get(timeout=self.meter.patience)
            except queue.Empty:
                self.meter.tick(self._busy())
                continue
            self._take(stretch)
            return None

    def _wait_for(self, stretch: Stretch) -> None:
        """Wait for this one, of which nobody else will tell."""
        while not stretch.future._wait(self._patience):
            # What has ended behind it counts, and is kept.
            for other in self.order:
                if other is not stretch and has_ended(other):
                    self._take(other)
            if self._ledger is not None:
                self._write()
            self.meter.tick(self._busy())

    @property
    def _patience(self) -> float | None:
        """Seconds until what has ended behind the head is to be looked at."""
        patience = self.meter.patience
        if self._ledger is None:
            return patience
        return PERIOD if patience is None else min(patience, PERIOD)

    def _busy(self) -> int:
        return 0 if self._lanes is None else min(self._lanes.workers, self.order.calling)

    def _take_arrivals(self) -> None:
        # Nobody else takes from it.
        while not self._arrivals.empty():
            self._take(self._arrivals.get_nowait())

    def _take(self, stretch: Stretch) -> None:
        """Look at what became of a stretch."""
        try:
            ended = stretch.lanes.collect(stretch)
        except Unusable as error:
            self._stop(error.__cause__)
            self.order.on_split(stretch, [])
            return
        except BaseException:
            # Ctrl-C: what arrived is still to be kept.
            self._arrivals.put(stretch)
            raise
        ends = not self.goes_on or any(map(ends_map, stretch.failures.values()))
        is_last = ends and bool(stretch.failures)
        if ended < len(stretch) and not is_last:
            stretch = self._split(stretch, ended)
            if not ended:
                return
        if self._ledger is not None:
            try:
                self._keep(stretch)
            except Exception as error:
                # What is out is handed out before that is raised, for it is nowhere else.
                self._stop(error)
        if is_last:
            self._stopped = True
        self._over(stretch)

    def _split(self, stretch: Stretch, ended: int) -> Stretch:
        """Have the items called that were not, and give those that were."""
        over = stretch.part(0, ended)
        over.values, over.failures, over.lanes = stretch.values, stretch.failures, stretch.lanes
        # Whose fault it is that none has ended shows when they go one by one.
        size = len(stretch) - ended if ended else 1
        parts = [stretch.part(place, place + size) for place in range(ended, len(stretch), size)]
        begun = [part for part in parts if self._begin(part)]
        self.order.on_split(stretch, [over, *begun] if ended else begun)
        return over

    def _over(self, stretch: Stretch) -> None:
        self.order.on_over(stretch)
        self.meter.done += len(stretch.values)
        self.meter.failed += len(stretch.failures)
        self.meter.tick(self._busy())

    def _keep(self, stretch: Stretch) -> None:
        assert self._ledger is not None
        for place, value in enumerate(stretch.values):
            if place not in stretch.failures:
                self._ledger.keep(stretch.first + place, stretch.digests[place], value)

    def _write(self) -> None:
        assert self._ledger is not None
        try:
            self._ledger.write()
        except Exception as error:
            self._stop(error)

    def _hand_out(self, stretch: Stretch) -> Iterator[Iterator[Any]]:
        """The results of a stretch, and what it raised, as was asked for."""
        values, failures, stretch.values = stretch.values, stretch.failures, []
        if failures:
            how = self.wishes.errors
            begin = 0
            for place in sorted(failures):
                error = failures[place]
                if how == "raise" or ends_map(error):
                    if place > begin:
                        yield self._batch_of(values[begin:place])
                    raise error
                if how == "return":
                    values[place] = error
                else:
                    if place > begin:
                        yield self._batch_of(values[begin:place])
                    begin = place + 1
            values = values[begin:]
        yield self._batch_of(values)

    def _batch_of(self, values: list[Any]) -> Iterator[Any]:
        self._batch = Batch(values)
        return iter(self._batch)
