"""What a worker tells about an exception beside the exception itself."""

import traceback


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
