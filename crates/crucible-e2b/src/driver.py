"""Runs the cells of one context, in a process of the sandbox. Lines of JSON come on standard input and go out on what was
standard output; whatever a cell or its children write is told as lines, too."""

import ast
import base64
import json
import linecache
import os
import signal
import sys
import threading
import time
import traceback
import uuid

_out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
_in = os.fdopen(os.dup(0), "r", encoding="utf-8", errors="replace")
_lock = threading.Lock()


def _tell(kind, **more):
    with _lock:
        _out.write(json.dumps({"type": kind, **more}) + "\n")
        _out.flush()


class _Stream:
    """One of the two streams of everything in this process, by a pipe that a thread reads."""

    def __init__(self, number, kind):
        self.kind = kind
        self.mark, self.seen = None, threading.Event()
        read, write = os.pipe()
        os.dup2(write, number)
        os.close(write)
        self.number = number
        self.read = read
        threading.Thread(target=self._go, daemon=True).start()

    def _go(self):
        import codecs

        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        held = b""
        while True:
            piece = os.read(self.read, 65536)
            if not piece:
                return
            held += piece
            mark = self.mark
            if mark is not None and mark in held:
                before, _, held = held.partition(mark)
                self._say(decoder.decode(before, True))
                decoder.reset()
                self.mark = None
                self.seen.set()
            keep = len(mark) if mark is not None and self.mark is not None else 0
            # What may be the beginning of the mark waits for the rest of it.
            now, held = held[: len(held) - keep], held[len(held) - keep :] if keep else b""
            self._say(decoder.decode(now))

    def _say(self, text):
        if text:
            _tell(self.kind, text=text, timestamp=time.time_ns())

    def drain(self):
        """Waits until everything is told that was written until now."""
        self.seen.clear()
        self.mark = mark = uuid.uuid4().bytes
        os.write(self.number, mark)
        self.seen.wait(5)


def _text(value, name):
    try:
        method = getattr(value, name, None)
        shown = method() if callable(method) and not isinstance(value, type) else None
    except Exception:
        return None
    return shown[0] if isinstance(shown, tuple) and shown else shown


_KINDS = {
    "html": "_repr_html_",
    "markdown": "_repr_markdown_",
    "svg": "_repr_svg_",
    "png": "_repr_png_",
    "jpeg": "_repr_jpeg_",
    "pdf": "_repr_pdf_",
    "latex": "_repr_latex_",
    "json": "_repr_json_",
    "javascript": "_repr_javascript_",
}


def _figure(value):
    """A picture of a figure of matplotlib, where that is what it is."""
    figure = value if type(value).__module__.startswith("matplotlib.figure") else None
    if figure is None:
        return None
    import io

    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight")
    return picture.getvalue()


def _show(value, is_main):
    result = {"text": repr(value)}
    for kind, name in _KINDS.items():
        shown = _text(value, name)
        if kind == "png" and shown is None:
            shown = _figure(value)
        if isinstance(shown, bytes):
            shown = base64.b64encode(shown).decode()
        if shown is not None:
            result[kind] = shown
    if isinstance(value, (dict, list)) and "json" not in result:
        try:
            json.dumps(value)
            if isinstance(value, dict):
                result["json"] = value
        except (TypeError, ValueError):
            pass
    _tell("result", is_main_result=is_main, **result)


def display(*values):
    """Shows values as results, besides the last expression's."""
    for value in values:
        _show(value, False)


def _figures():
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        _show(pyplot.figure(number), False)
    pyplot.close("all")


def _run(code, scope):
    tree = ast.parse(code, "<cell>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def do(compiled):
        import asyncio
        import inspect

        value = eval(compiled, scope)
        return asyncio.run(value) if inspect.iscoroutine(value) and compiled.co_flags & inspect.CO_COROUTINE else value

    do(compile(tree, "<cell>", "exec", flags))
    if last is not None:
        value = do(compile(ast.Expression(last.value), "<cell>", "eval", flags))
        _figures()
        if value is not None:
            scope["_"] = value
            _show(value, True)
    else:
        _figures()


_running = False


def _interrupt(_number, _frame):
    """Whoever listened went away. Between cells that is nobody's matter."""
    if _running:
        raise KeyboardInterrupt


def main():
    global _running
    signal.signal(signal.SIGINT, _interrupt)
    os.environ.setdefault("MPLBACKEND", "agg")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    streams = [_Stream(1, "stdout"), _Stream(2, "stderr")]
    sys.stdin = open(0, "r", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False, buffering=1)
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False, buffering=1)
    scope = {"__name__": "__main__", "__builtins__": __builtins__, "display": display}
    sys.modules["__main__"].__dict__.update(display=display)
    count = 0
    _tell("ready")
    while True:
        line = _in.readline()
        if not line:
            return
        cell = json.loads(line)
        count += 1
        before = {name: os.environ.get(name) for name in cell["env"]}
        os.environ.update(cell["env"])
        try:
            linecache.cache["<cell>"] = (len(cell["code"]), None, cell["code"].splitlines(True), "<cell>")
            try:
                _running = True
                _run(cell["code"], scope)
            except SystemExit as error:
                if error.code not in (None, 0):
                    raise
            finally:
                _running = False
                sys.stdout.flush()
                sys.stderr.flush()
        except BaseException as error:
            told = traceback.TracebackException.from_exception(error)
            # Of the frames only the cell's own and those below.
            while told.stack and told.stack[0].filename == "<string>":
                told.stack.pop(0)
            _tell("error", name=type(error).__name__, value=str(error), traceback="".join(told.format()))
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        for stream in streams:
            stream.drain()
        _tell("number_of_executions", execution_count=count)
        _tell("end_of_execution")


main()
