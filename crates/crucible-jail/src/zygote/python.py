# What a Python that is started before its program runs in the place of one, in a namespace of its own, so that nothing that a
# program calls its own is taken for Python's. A last line that calls it is added: with the number of a prepared root for a
# zygote, in whose forks programs are run, or with what runs one program in this process alone, in the place of a zygote's library.
#
# A program that is run by it finds what it would find in an interpreter of its own: `__main__` as if nothing had
# been in it, its arguments, environment and search path, signals, and at its end what Python does at its end. What differs is
# in docs/warm.md.


def crucible_zygote(preload, guest_root, library=None):
    import sys

    main = sys.modules["__main__"].__dict__
    fresh = main.copy()

    import _frozen_importlib
    import _imp
    import _signal
    import atexit
    import builtins
    import gc
    import posix

    # A program may replace what it finds there; Python itself goes on with its own.
    getattr, hasattr, list, type = builtins.getattr, builtins.hasattr, builtins.list, builtins.type
    compile, exec, open, print = builtins.compile, builtins.exec, builtins.open, builtins.print
    dict, isinstance, len, next, reversed, str = (
        builtins.dict, builtins.isinstance, builtins.len, builtins.next, builtins.reversed, builtins.str)

    if library is None:
        # Builds without the global lock have other objects than the library knows.
        if "t" in getattr(sys, "abiflags", ""):
            sys.exit("a Python without the global interpreter lock")
        spec = _frozen_importlib.ModuleSpec("_crucible_zygote", None, origin="/proc/self/fd/4")
        library = _imp.create_dynamic(spec)
        sys.modules.pop("_crucible_zygote", None)
    for name in preload:
        __import__(name)

    # A fork has one thread of them all, and what the others held is held for ever.
    threads = len(posix.listdir("/proc/self/task"))
    if threads != 1:
        sys.exit("what is preloaded has started %d threads" % (threads - 1))
    modules, module_type = sys.modules, type(sys)
    known = frozenset(modules)
    # They stand in the order in which they came: what comes after this one came with the program.
    last_known = next(reversed(modules))
    # Collectors of other versions have other generations.
    has_generations = sys.version_info < (3, 14)

    place = posix.getcwd()
    flags = sys.flags
    has_place = not flags.isolated and not getattr(flags, "safe_path", False) and sys.path[:1] == [place]
    before_file = getattr(sys, "orig_argv", [sys.executable, ""])[:-1]

    SETTLE = b"def f(x): return [y for y in x]\nstr(f('ab')).encode() + b'%d' % len({'a': 1})\n"

    def settle():
        # The actions that Python gives to signals when it starts: a fork of the launcher's has taken them back.
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
        _signal.signal(_signal.SIGXFSZ, _signal.SIG_IGN)
        sys.path_importer_cache.pop(place, None)
        # Memory that any program writes to is this process's own once it was written to, which takes the kernel a while: so
        # what comes before every program, and what most of them do, is done once for nothing.
        prepare([b"settle"], [name + b"=" + value for name, value in posix.environ.items()])
        with open("/dev/null", "rb") as program:
            source = program.read() + SETTLE
        names = {"__name__": "settle"}
        exec(compile(source, "settle", "exec", dont_inherit=True), names)
        names.clear()
        flush(0)
        # Python's own generators are seeded anew by their modules, when they are forked.
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
        gc.freeze()
        counts[:] = collections()

    counts = []

    def collections():
        return [generation["collections"] for generation in gc.get_stats()]

    def prepare(argv, env):
        argv = [text.decode("utf-8", "surrogateescape") for text in argv]
        wanted = dict(text.split(b"=", 1) for text in env)
        environ = posix.environ
        for name in [name for name in environ if name not in wanted]:
            posix.unsetenv(name)
            del environ[name]
        for name, value in wanted.items():
            if environ.get(name) != value:
                posix.putenv(name, value)
                environ[name] = value
        return argv, argv[0] if argv[0].startswith("/") else posix.getcwd() + "/" + argv[0]

    def flush(status):
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name, None)
            try:
                if stream is not None and not getattr(stream, "closed", False):
                    stream.flush()
            except BaseException as error:
                if name == "stdout":
                    status = 120
                    said = "Exception ignored in: %r\n%s: %s\n" % (stream, type(error).__name__, error)
                    try:
                        posix.write(2, said.encode("utf-8", "backslashreplace"))
                    except OSError:
                        pass
        return status

    def show(error):
        library.show(type(error), error, error.__traceback__)

    def conclude(error):
        if isinstance(error, SystemExit):
            code = error.code
            if code is None:
                return 0
            if isinstance(code, int):
                return code & 0xFF
            try:
                flush(0)
                print(code, file=sys.stderr)
            except BaseException:
                pass
            return 1
        show(error)
        return -_signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1

    def clear(names):
        # In the order in which Python takes a module apart: private names first.
        for is_private in (True, False):
            for name in list(names):
                if isinstance(name, str) and name != "__builtins__" and (name[:1] == "_" and name[1:2] != "_") == is_private:
                    names[name] = None

    def take_apart():
        # Only what came with the program: first nobody knows its modules any more, then they are emptied, the latest first. Before
        # rubbish is collected, since of a file that is rubbish the innermost part might be closed first. Whatever is looked at is
        # copied memory: so nothing that needn't be. True where code came along that isn't Python's.
        later = []
        try:
            for name in reversed(modules):
                if name == last_known:
                    break
                if name not in known:
                    later.append(name)
        except RuntimeError:
            # A thread that goes on to the end has imported something just now.
            later = [name for name in reversed(list(modules)) if name not in known]
        contents, foreign = [], False
        for name in later:
            module = modules[name]
            modules[name] = None
            if isinstance(module, module_type):
                names = module_type.__getattribute__(module, "__dict__")
                contents.append(names)
                foreign = foreign or str(names.get("__file__", "")).endswith(".so")
        module = names = None
        clear(main)
        for names in contents:
            clear(names)
        # All that the program made is young, if nothing has grown old since it came.
        gc.collect(0 if has_generations and collections() == counts else 2)
        return foreign

    def finish(status):
        threading = sys.modules.get("threading")
        if threading is not None:
            try:
                threading._shutdown()
            except BaseException as error:
                show(error)
        try:
            atexit._run_exitfuncs()
        except BaseException as error:
            # From Python 3.10 on it has told that itself.
            show(error)
        flushed = flush(0)
        foreign = take_apart()
        flushed = flush(flushed)
        if status < 0:
            _signal.signal(-status, _signal.SIG_DFL)
            posix.kill(posix.getpid(), -status)
        library.exit(flushed or status, foreign)

    def run(argv, env):
        argv, file = prepare(argv, env)
        sys.argv = argv
        if hasattr(sys, "orig_argv"):
            sys.orig_argv = before_file + argv
        if has_place:
            folder = []
            for part in file.split("/")[:-1]:
                if part == ".." and folder:
                    folder.pop()
                elif part not in ("", ".", ".."):
                    folder.append(part)
            sys.path[0] = "/" + "/".join(folder)
        main.clear()
        main.update(fresh)
        main["__file__"] = file
        if "__annotations__" in main:
            main["__annotations__"] = {}
        loader = main.get("__loader__")
        if loader is not None and getattr(loader, "path", file) != file:
            main["__loader__"] = type(loader)("__main__", file)
        try:
            with open(file, "rb") as program:
                source = program.read()
        except OSError as error:
            said = "%s: can't open file %r: [Errno %d] %s" % (before_file[0], file, error.errno, error.strerror)
            print(said, file=sys.stderr)
            finish(2)
        failure = None
        try:
            exec(compile(source, file, "exec", dont_inherit=True), main)
        except BaseException as error:
            # Without this function's own frame.
            failure = error.with_traceback(error.__traceback__.tb_next)
        # Outside, so that what a hook raises has nothing that it came of.
        status = 0 if failure is None else conclude(failure)
        del failure
        finish(status)

    # What Python does once, when it first compiles and when it first reads a file.
    with open(main["__file__"], "rb") as program:
        compile(program.read(), "warm", "exec", dont_inherit=True)
    exec(compile("def f(x): return [y for y in x]\nf('ab')\n", "warm", "exec", dont_inherit=True), {})
    main.clear()
    main.update(fresh)
    gc.collect()
    gc.freeze()
    sys.exit(library.serve(settle, run, guest_root))
