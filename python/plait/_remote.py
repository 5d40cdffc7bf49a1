"""What a worker tells about an exception beside the exception itself."""

import linecache
import re
import traceback

# A frame in a formatted traceback; within exception groups there is a bar before it.
_FRAME = re.compile(r'(?P<indent>[ |]*)  File "(?P<file>.*)", line (?P<line>\d+), in ')


def describe(exception: BaseException) -> tuple[str, str, str]:
    """Gives the type's name as tracebacks show it, the message, and the formatted traceback."""
    cls = type(exception)
    name = (
        cls.__qualname__
        if cls.__module__ in ("builtins", "__main__")
        else f"{cls.__module__}.{cls.__qualname__}"
    )
    try:
        message = str(exception)
    except Exception as error:
        message = f"<its str() raised {type(error).__name__}>"
    try:
        text = "".join(traceback.format_exception(cls, exception, exception.__traceback__))
    except Exception as error:
        text = f"<formatting the traceback raised {type(error).__name__}>\n{name}: {message}\n"
    return name, message, text


def with_source(text: str) -> str:
    """Adds the source lines that the worker could not read: those of notebook cells, for one."""
    lines = text.split("\n")
    full = []
    for line, following in zip(lines, [*lines[1:], ""]):
        full.append(line)
        frame = _FRAME.match(line)
        if frame and not following.startswith(frame["indent"] + "    "):
            source = linecache.getline(frame["file"], int(frame["line"])).strip()
            if source:
                full.append(f"{frame['indent']}    {source}")
    return "\n".join(full)
