"""A bare worker for the tests of codec and function cache: it shares nothing with its parent but messages.

It runs `python -c`, so its `__main__` is not the parent's.
"""

import marshal
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from plait import _core


class Peer:
    """One process that calls what it is sent, and answers with the result or the exception."""

    def __init__(self):
        path = os.pathsep.join([str(Path(__file__).parent), *(entry for entry in sys.path if entry)])
        self.process = subprocess.Popen(
            [sys.executable, "-c", "import codec_peer; codec_peer.serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.table = _core.function.FunctionTable()
        self.sent = set()

    def call(self, function, *args, **kwargs):
        """Sends a call as an executor would; gives the result or raises what the call raised."""
        prepared = self.table.prepare(function)
        if prepared is None:
            kind, data = _core.codec.encode_direct(function, args, kwargs)
            return self._ask(0, None, kind, data)
        identity, code = prepared
        if identity in self.sent:
            code = None
        self.sent.add(identity)
        kind, data = _core.codec.encode_call(args, kwargs)
        return self._ask(identity, code, kind, data)

    def _ask(self, *request):
        marshal.dump(request, self.process.stdin)
        self.process.stdin.flush()
        raised, kind, data = marshal.load(self.process.stdout)
        if raised:
            raise _core.codec.decode_exception(data)
        return _core.codec.decode(kind, data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def run_script(tmp_path, text, *arguments):
    """Runs a main script that has `peer`; its output is what it printed."""
    script = tmp_path / "script.py"
    head = "from codec_peer import Peer\nfrom plait import _core\npeer = Peer().__enter__()\n"
    script.write_text(head + textwrap.dedent(text) + "\npeer.__exit__()\n")
    path = [str(Path(__file__).parent), *(entry for entry in sys.path if entry)]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), *arguments],
        env={"PYTHONPATH": ":".join(path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def serve():
    functions = {}
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    while True:
        try:
            identity, code, kind, data = marshal.load(requests)
        except EOFError:
            return
        try:
            if identity == 0:
                function, args, kwargs = _core.codec.decode_direct(data)
            else:
                if code is not None:
                    functions[identity] = _core.function.decode_function(code)
                function = functions[identity]
                args, kwargs = _core.codec.decode_call(kind, data)
            answer = (False, *_core.codec.encode(function(*args, **(kwargs or {}))))
        except BaseException as error:
            answer = (True, 0, _core.codec.encode_exception(error))
        marshal.dump(answer, answers)
        answers.flush()
