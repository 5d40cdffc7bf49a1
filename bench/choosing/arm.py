"""One family of contenders on one workload, in a process of its own: `arm.py WORKLOAD SITE`.

Commands come in on stdin and answers go out on stdout, JSON lines. A command is a contender's spec;
answered are `began` when the job is made, `took` with the seconds when the results are there, and
`checked` with their digest, or `wrong`, or `failed`. What the chooser said goes with `took`. Ends when
stdin does.
"""

import faulthandler
import gc
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from choosing import workload  # noqa: E402
from choosing.contenders import Spec, runner  # noqa: E402


def chosen(iterator: Any) -> dict[str, Any]:
    """Return what a map's iterator tells of the choice that was made for it."""
    choice = iterator.choice
    return {
        "backend": choice.backend,
        "workers": choice.workers,
        "chunksize": choice.chunksize,
        "reasons": list(choice.reasons),
        "deciding": getattr(choice, "deciding", None),
    }


def run_auto(job: workload.Job) -> tuple[float, list[Any], dict[str, Any]]:
    import plait

    began = time.perf_counter()
    iterator = plait.map(job.fn, job.items, backend="auto")
    results = list(iterator)
    took = time.perf_counter() - began
    return took, results, chosen(iterator)


def run_fixed(spec: Spec, job: workload.Job) -> tuple[float, list[Any], None]:
    run = runner(spec)
    began = time.perf_counter()
    results = run(spec, job.fn, job.items, job.count)
    return time.perf_counter() - began, results, None


def main() -> None:
    """Do what is asked until the driver hangs up."""
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    faulthandler.enable()

    def answer(what: str, **more: Any) -> None:
        answers.write(json.dumps({"what": what, **more}) + "\n")

    asked, site = workload.load()[sys.argv[1]], json.loads(sys.argv[2])
    for line in sys.stdin:
        spec = Spec(**json.loads(line))
        try:
            if spec.backend != "auto":
                runner(spec)
            job = asked.prepare(site)
        except ModuleNotFoundError as error:
            answer("missing", why=str(error))
            continue
        gc.collect()
        answer("began")
        try:
            took, results, choice = run_auto(job) if spec.backend == "auto" else run_fixed(spec, job)
        except Exception as error:
            if asked.apart:
                traceback.print_exc()
            answer("failed", why=f"{type(error).__name__}: {workload.shown(str(error))}")
            continue
        answer("took", seconds=took, choice=choice)
        try:
            job.check(results)
        except AssertionError as error:
            answer("wrong", why=str(error))
            continue
        answer("checked", digest=workload.digest(results))
        del job, results


if __name__ == "__main__":
    main()
