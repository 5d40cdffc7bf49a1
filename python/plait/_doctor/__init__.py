"""`plait doctor`: what of this machine and this Python limits parallel work, and what to change.

Each module but three looks at one subject: its `judge_` functions are pure, figures in, findings out; its
`read_` functions read the figures, its `try_` functions try things for real. `finding` says what a finding
is, `show` writes the report, `probe` imports numerical packages in a process of its own. Nothing is changed
on the machine, and no network is used but for the addresses that DASK_SCHEDULER_ADDRESS and RAY_ADDRESS name.
"""

import os

from plait._doctor.finding import Finding, Section, unreadable

__all__ = ["Finding", "examine"]


def examine(trial: bool = True, modules: tuple[str, ...] = ()) -> list[Finding]:
    """Look at everything; takes about a second.

    Args:
        trial: Also make pools and call them.
        modules: What to import besides NumPy, SciPy and joblib, to see what threads and which GIL they bring.

    """
    from plait._doctor import extras, limits, memory, native, processors, python
    from plait._doctor import trial as trials
    from plait._doctor.probe import Probe

    # These take their time by themselves.
    clusters = extras.Clusters()
    with Probe(modules) as probe:
        sections: list[Section] = []
        workers = usable = os.cpu_count() or 1
        pids: list[str] = []
        try:
            from plait import _core

            machine = _core.machine()
        except Exception as error:
            # What to do about it is said of plait itself.
            for name in (processors.NAME, memory.NAME):
                sections.append(Section(name))
                sections[-1].findings.append(unreadable(name, name, error))
        else:
            workers, usable = _core.default_workers(), processors.usable(machine)
            pids = _core.control_groups("pids")
            sections.append(processors.look(machine, workers, _core.control_groups("cpu")))
            sections.append(memory.look(machine))
        sections.append(python.look())
        sections.append(native.look(usable, probe))
        sections.append(limits.look(workers, pids, probe))
        sections.append(extras.look(probe, clusters))
    # When nothing else runs any more.
    sections.append(trials.look(trial))
    return [finding for section in sections for finding in section.findings]
