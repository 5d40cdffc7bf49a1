"""Where this process stands: the user's program, a worker of its, a worker's worker …

Set once, when a worker starts. A module of its own so that a worker need not load the pools for it.
"""

# How many levels of workers this process is below the program that the user started.
depth = 0

# The pool that this process is a worker of: its name, how many workers it has, the limits of its calls.
pool: str | None = None
workers = 0
limits: tuple[float | None, int] = (None, 0)

# How many processes of its own level share the machine.
siblings = 1
