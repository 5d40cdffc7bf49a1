"""What is said of small programs whose answer is known; see `corpus`."""

import pytest
from corpus.judging import judge, programs

PROGRAMS = programs()
#: A busy machine blurs what is seen. What is wrong for a reason of its own is wrong each time.
TRIES = 4

pytestmark = pytest.mark.once


# Counting lines takes the GIL: more of it than a program has that works under a lock.
@pytest.mark.usefixtures("uncounted")
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_verdict_is_right(name):
    said = []
    for _ in range(TRIES):
        one = judge(PROGRAMS[name])
        if (one.is_right or one.is_crowded_out) and not one.sure_and_wrong and one.is_named:
            return
        said.append(one)
    pytest.fail("\n\n".join(f"{one}\n{one.natives}\n{one.text}" for one in said))


def test_there_are_forty_programs_and_more():
    assert len(PROGRAMS) >= 40
    answers = [word for program in PROGRAMS.values() for word in program.answer]
    for word in (
        "gil-hog",
        "gil-contention",
        "python-cpu-bound",
        "native-releasing",
        "io-bound",
        "lock-bound",
    ):
        assert answers.count(word) >= 2, word
    for word in ("loop-stalled", "idle", "oversubscribed", "mixed"):
        assert answers.count(word) >= 2, word
