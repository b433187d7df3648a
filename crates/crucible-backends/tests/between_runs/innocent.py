# Looks for what somebody may have left. The first line printed is what it finds of the marker; the second, what it sees of its
# surroundings, which is the same in every sandbox that nothing has happened in.

# In halves: it would find the whole in its own memory.
FIRST, SECOND = b"@FIRST@", b"@SECOND@"


def crucible_look():
    import sys
    from json import dumps

    modules = sorted(sys.modules)
    import builtins

    names = sorted(vars(builtins))
    interpreter = {
        "modules": modules,
        "builtins": names,
        "builtins of another make": [n for n in names if callable(getattr(builtins, n)) and not isinstance(getattr(builtins, n), type) and type(getattr(builtins, n)).__name__ not in ("builtin_function_or_method", "_Printer", "_Helper", "Quitter")],
        "attributes": {m: len(vars(sys.modules[m])) for m in modules if sys.modules[m] is not None and m != "__main__"},
        "main": sorted(n for n in vars(sys.modules["__main__"])),
        "path": list(sys.path),
        "meta path": [getattr(one, "__name__", repr(type(one))) for one in sys.meta_path],
        "hooks": len(sys.path_hooks),
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "excepthook": sys.excepthook is sys.__excepthook__,
        "displayhook": sys.displayhook is sys.__displayhook__,
        "traces": [sys.gettrace() is None, sys.getprofile() is None],
        "argv": list(sys.argv),
        "flags": repr(sys.flags),
        "numbers": [250 + len("x"), 5 * 51 - 4, b"a\xfbb"[1:2].hex()],
    }
    import atexit, gc, os, signal, threading

    interpreter["collector"] = [gc.isenabled(), gc.get_threshold(), len(gc.callbacks)]
    interpreter["atexit"] = atexit._ncallbacks()
    interpreter["threads"] = threading.active_count()
    import codecs

    try:
        codecs.lookup_error("canary")
        interpreter["errors"] = "known"
    except LookupError:
        interpreter["errors"] = "unknown"
    import warnings

    interpreter["filters"] = [repr(one) for one in warnings.filters]
    import ctypes, hashlib, mmap, resource, socket

    libc = ctypes.CDLL(None, use_errno=True)
    found, unseen, where, seen = [], [], [], {}

    def has_mark(content):
        at = content.find(FIRST)
        while at >= 0:
            behind = at + len(FIRST)
            if content[behind : behind + len(SECOND)] == SECOND:
                return True
            at = content.find(FIRST, behind)
        return False

    def read(path, most=1 << 20):
        with open(path, "rb") as file:
            return file.read(most)

    # Its own memory, before the mark was ever put together in it.
    looked = 0
    with open("/proc/self/maps") as file:
        maps = file.read().splitlines()
    try:
        with open("/proc/self/mem", "rb", 0) as memory:
            for line in maps:
                span, rights = line.split()[:2]
                if rights[:2] != "rw" or line.endswith("[vvar]"):
                    continue
                begin, end = (int(text, 16) for text in span.split("-"))
                for at in range(begin, min(end, begin + (64 << 20)), 1 << 20):
                    try:
                        memory.seek(at)
                        piece = memory.read(min((1 << 20) + 64, end - at))
                    except (OSError, ValueError, OverflowError):
                        continue
                    looked += len(piece)
                    if has_mark(piece):
                        found.append("memory")
                        if len(where) < 3:
                            start = piece.find(FIRST)
                            where.append([line, start, repr(piece[max(0, start - 60) : start]), repr(piece[start + len(FIRST) + len(SECOND) : start + 120])])
    except OSError as error:
        unseen.append("memory: %r" % error)
    if looked < 1 << 20:
        unseen.append("memory: %d bytes" % looked)
    if has_mark("\n".join(maps).encode()):
        found.append("maps")
    seen["mapped files"] = sorted({line.split(None, 5)[5] for line in maps if len(line.split(None, 5)) > 5 and "/" in line.split(None, 5)[5]})
    fresh = mmap.mmap(-1, 8 << 20)
    if fresh.read().count(0) != 8 << 20:
        found.append("fresh memory")

    # Files.
    listed = {}
    for top in ("/work", "/tmp", "/dev/shm", "/dev/mqueue", "/run", "/var/tmp", "/dev", "/", "/home", os.path.expanduser("~")):
        try:
            listed[top] = sorted(os.listdir(top))
        except OSError as error:
            listed[top] = error.errno
        try:
            space = os.statvfs(top)
            listed[top + " free"] = [space.f_bfree, space.f_ffree] if top in ("/tmp", "/dev/shm") else []
        except OSError:
            pass
    seen["files"] = listed
    for top in ("/work", "/tmp", "/dev", "/run", "/var/tmp", os.path.expanduser("~")):
        for folder, folders, names_in in os.walk(top):
            for name in folders + names_in:
                path = os.path.join(folder, name)
                if has_mark(path.encode("utf-8", "surrogateescape")):
                    found.append("file " + top)
                    continue
                try:
                    if os.path.isfile(path) and path != "/work/main.py" and has_mark(read(path)):
                        found.append("content " + top)
                except OSError:
                    pass

    # What it was handed.
    if has_mark(repr(sorted(os.environ.items())).encode()) or has_mark(read("/proc/self/environ")):
        found.append("environment")
    if any(has_mark(repr(value).encode()) for one in list(sys.modules.values()) if one is not None and one.__name__ != "__main__" for value in list(vars(one).values()) if isinstance(value, (str, bytes, list, dict)) and len(value) < 10000):
        found.append("modules")
    if has_mark(repr(sys.path).encode()):
        found.append("search path")
    seen["environment"] = sorted(os.environ.items())
    opened = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            opened[int(name)] = os.readlink("/proc/self/fd/" + name).split("[")[0].split(":")[0]
        except OSError:
            pass
    seen["descriptors"] = sorted((number, where) for number, where in opened.items() if not where.startswith("/proc/"))
    status = dict(line.split(":\t", 1) for line in read("/proc/self/status").decode().splitlines() if ":\t" in line)
    wanted_lines = ("Name", "Umask", "Uid", "Gid", "Groups", "Threads", "SigQ", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "CoreDumping", "TracerPid", "Pid", "PPid", "NSpid", "NSsid")
    seen["status"] = {name: status.get(name) for name in wanted_lines}
    seen["status"]["Uid"] = seen["status"]["Gid"] = None if os.getuid() == 0 else os.getuid()
    seen["status"]["SigQ"] = (seen["status"]["SigQ"] or "0/").split("/")[0]
    seen["limits"] = [resource.getrlimit(one) for one in range(16)]
    seen["nice"] = [os.nice(0), os.sched_getscheduler(0), sorted(os.sched_getaffinity(0)), libc.personality(0xFFFFFFFF), libc.prctl(30, 0, 0, 0, 0)]
    seen["timer"] = signal.getitimer(signal.ITIMER_REAL)
    seen["actions"] = [repr(signal.getsignal(one)) if not callable(signal.getsignal(one)) else "a function" for one in range(1, 65)]
    seen["folder"] = os.getcwd()
    for name in ("oom_score_adj", "coredump_filter", "loginuid", "attr/current", "timerslack_ns", "cgroup", "sessionid"):
        try:
            text = read("/proc/self/" + name).decode()
            seen["own " + name] = len(text.splitlines()) if name == "cgroup" else text
        except OSError as error:
            seen["own " + name] = error.errno
    processes = [name for name in os.listdir("/proc") if name.isdigit()]
    seen["processes"] = len(processes)
    for process in processes:
        if process == str(os.getpid()):
            continue
        for name in ("environ", "cmdline", "maps", "comm"):
            try:
                if has_mark(read("/proc/%s/%s" % (process, name))):
                    found.append("another process")
            except OSError:
                pass

    # What the kernel keeps.
    for name in ("unix", "tcp", "udp", "tcp6", "udp6", "netlink", "packet", "raw", "sockstat", "sockstat6", "snmp", "snmp6", "netstat", "dev", "route", "protocols", "ptype"):
        try:
            text = read("/proc/self/net/" + name).decode()
        except OSError as error:
            seen["net " + name] = error.errno
            continue
        if has_mark(text.encode()):
            found.append("net " + name)
        if name in ("unix", "tcp", "udp", "tcp6", "udp6", "netlink", "packet", "raw"):
            seen["net " + name] = len(text.splitlines())
        elif name in ("snmp", "snmp6", "netstat", "dev", "route"):
            seen["net " + name] = text
    for name in ("shm", "msg", "sem"):
        try:
            seen["sysv " + name] = len(read("/proc/sysvipc/" + name).splitlines())
        except OSError as error:
            seen["sysv " + name] = error.errno
    key = 0x0CA11A71
    calls = {"shmget": lambda: libc.shmget(key, 1, 0), "msgget": lambda: libc.msgget(key, 0), "semget": lambda: libc.semget(key, 1, 0), "mq_open": lambda: libc.mq_open(b"/canary", 0)}
    for name, call in calls.items():
        result = call()
        seen["call " + name] = ctypes.get_errno() if result < 0 else "found"
    word = FIRST + SECOND
    for ring in (-1, -2, -3, -4, -5):
        result = libc.syscall(250, 10, ring, b"user", word, 0)
        seen["key %d" % ring] = ctypes.get_errno() if result < 0 else "found"
    try:
        keys = read("/proc/keys")
        seen["keys"] = len(keys.splitlines())
        if has_mark(keys):
            found.append("keys")
    except OSError as error:
        seen["keys"] = error.errno
    for number in ("", "0", "1", "2", "3"):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_UNIX, kind) as client:
                client.settimeout(0.01)
                try:
                    client.connect(b"\0" + word + number.encode())
                    found.append("abstract socket")
                except OSError:
                    pass
    for each, value in interpreter.items():
        seen["python " + each] = value
    print(dumps({"found": sorted(set(found)), "unseen": unseen, "where": [repr(one) for one in where]}))
    print(dumps(seen, sort_keys=True))


try:
    crucible_look()
except BaseException as crucible_error:
    # By hand: somebody may have changed what Python does with it.
    import os

    os.write(2, ("%r at line %d" % (crucible_error, crucible_error.__traceback__.tb_next.tb_lineno)).encode())
    os._exit(1)
