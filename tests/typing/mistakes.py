"""What a type checker must find: each line with `# wrong` in it, and no other. Never run."""

import plait


def size(path: str) -> int:
    return len(path)


def calls(
    pool: plait.ProcessPoolExecutor, threads: plait.ThreadPoolExecutor, executor: plait.Executor
) -> None:
    pool.submit(size, 1)  # wrong: an argument's type
    threads.submit(size)  # wrong: an argument is missing
    executor.submit(size, "a", deep=True)  # wrong: an argument that is not there
    pool.options(retries=1).submit(size, None)  # wrong: an argument's type
    text: str = pool.submit(size, "a").result()  # wrong: the result's type
    print(text)


def said() -> None:
    plait.task(size, cache=False)  # wrong: an option that is not there
    plait.task(size, shares_state="no")  # wrong: an option's value
    plait.task(size, shares_state=False)(1)  # wrong: an argument's type


def names() -> None:
    print(plait.proceses)  # wrong: a name that is not there


async def fetched(n: int) -> str:
    return str(n)


async def coroutines() -> None:
    plait.map(fetched, ["a"])  # wrong: an item's type
    async for number in plait.amap(fetched, [1]):
        number += 1  # wrong: the result's type


def options() -> None:
    plait.map(size, ["a"], worker=2)  # wrong: an option that is not there
    print(plait.map(size, ["a"], backend="threads").choice)  # wrong: nothing was chosen
    plait.ProcessPoolExecutor(max_worker=2)  # wrong: an option that is not there
    plait.zeros(3, order="X")  # wrong: an option's value
    plait.Value("x")  # wrong: a kind that no cell holds
    plait.Value(int).add("a")  # wrong: what is added
