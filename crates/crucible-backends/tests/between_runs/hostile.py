# Leaves whatever a program can leave: each way on its own, and none of them without bound. What worked is printed, one name
# a line. Nothing but the marker is left anywhere, and nothing is signalled but its own children.

import builtins, ctypes, gc, mmap, os, resource, select, signal, socket, sys, threading, time

MARK = "@MARK@"
LEFT = []
libc = ctypes.CDLL(None, use_errno=True)


def leave(name, how):
    try:
        how()
        LEFT.append(name)
    except BaseException as error:
        LEFT.append("not " + name + ": " + repr(error)[:60])


def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


# Files, in every folder that takes one.
def files(folder):
    def write():
        path = os.path.join(folder, MARK)
        with open(path, "w") as file:
            file.write(MARK * 1000)
        os.mkdir(path + ".d", 0o700)
        os.symlink("/etc/passwd", path + ".d/" + MARK)
        os.chmod(path, 0)

    return write


def modules_of_python():
    for folder in [p for p in sys.path if os.path.isdir(p)] + [os.path.expanduser("~/.local/lib")]:
        for name in ("sitecustomize.py", "usercustomize.py", "fractions.py"):
            try:
                with open(os.path.join(folder, name), "w") as file:
                    file.write("import builtins; builtins.canary = '" + MARK + "'\n")
            except OSError:
                pass


FOLDERS = ["/work", "/tmp", "/dev/shm", "/dev/mqueue", "/run", "/var/tmp", "/dev", "/", "/etc", "/usr", os.path.expanduser("~")]
for folder in FOLDERS:
    leave("file " + folder, files(folder))
leave("python files", modules_of_python)

# Memory, of which nothing is given back in order.
hoard = []
leave("memory", lambda: hoard.extend((MARK * 1000).encode() * 40 for _ in range(4)))


def shared():
    descriptor = os.open("/dev/shm/" + MARK + "-map", os.O_RDWR | os.O_CREAT)
    os.ftruncate(descriptor, 1 << 20)
    area = mmap.mmap(descriptor, 1 << 20)
    area.write(MARK.encode() * 1000)
    os.unlink("/dev/shm/" + MARK + "-map")
    hoard.append(area)
    called(libc.memfd_create(MARK.encode(), 0))
    hoard.append(mmap.mmap(-1, 1 << 20))
    hoard[-1].write(MARK.encode() * 1000)


leave("maps", shared)


def descriptors():
    for _ in range(20):
        os.set_inheritable(os.dup(1), True)
    for folder in ("/work", "/tmp"):
        held = os.open(folder + "/" + MARK + "-gone", os.O_RDWR | os.O_CREAT)
        os.write(held, MARK.encode() * 1000)
        os.unlink(folder + "/" + MARK + "-gone")


leave("descriptors", descriptors)
leave("inotify", lambda: called(libc.inotify_add_watch(called(libc.inotify_init()), b"/work", 0xFFF)))
leave("epoll", lambda: hoard.append(select.epoll()))

# What the kernel keeps beside files.
KEY = 0x0CA11A71
leave("sysv shm", lambda: called(libc.shmget(KEY, 4096, 0o1666)))
leave("sysv msg", lambda: called(libc.msgget(KEY, 0o1666)))
leave("sysv sem", lambda: called(libc.semget(KEY, 1, 0o1666)))
leave("posix queue", lambda: called(libc.mq_open(b"/canary", os.O_RDWR | os.O_CREAT, 0o666, None)))
for ring in (-1, -2, -3, -4, -5):
    leave("key %d" % ring, lambda: called(libc.syscall(248, b"user", MARK.encode(), MARK.encode(), len(MARK), ring)))


def abstract():
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0" + MARK)
    server.listen(5)
    hoard.append(server)


def named():
    server = socket.socket(socket.AF_UNIX)
    server.bind("/tmp/" + MARK[:8] + ".socket")
    server.listen(5)
    hoard.append(server)


def on_their_way():
    # Each is in the other's queue, so that both outlive everybody who holds them, until the kernel looks for such.
    for number in range(4):
        one, other = socket.socketpair()
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        bound.bind("\0" + MARK + str(number))
        socket.send_fds(one, [b"x"], [other.fileno(), bound.fileno()])
        socket.send_fds(other, [b"x"], [one.fileno(), bound.fileno()])
        one.close(), other.close(), bound.close()


def internet():
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            for attempt in (lambda s: s.connect((address, 9)), lambda s: s.sendto(b"x", (address, 9)), lambda s: s.bind((address, 9999)), lambda s: s.listen()):
                with socket.socket(family, kind) as client:
                    client.setblocking(False)
                    try:
                        attempt(client)
                    except OSError:
                        pass


leave("abstract socket", abstract)
leave("named socket", named)
if @SENDS@:
    leave("sockets on their way", on_their_way)
leave("internet", internet)

# What a process passes on.
os.environ["CANARY"] = MARK
libc.setenv(b"CANARY", MARK.encode(), 1)
leave("umask", lambda: os.umask(0o077))
leave("limits", lambda: [resource.setrlimit(one, (100, 100)) for one in (resource.RLIMIT_NOFILE,)])
leave("nice", lambda: os.nice(3))
leave("scheduler", lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)))
leave("affinity", lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}))
leave("name", lambda: called(libc.prctl(15, b"canary", 0, 0, 0)))
leave("slack", lambda: called(libc.prctl(29, 77777, 0, 0, 0)))
leave("subreaper", lambda: called(libc.prctl(36, 1, 0, 0, 0)))
leave("personality", lambda: called(libc.personality(0x0040000)))
leave("oom score", lambda: open("/proc/self/oom_score_adj", "w").write("900"))
leave("core filter", lambda: open("/proc/self/coredump_filter", "w").write("0"))
leave("signal actions", lambda: [signal.signal(one, signal.SIG_IGN) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)])
leave("signal mask", lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]))
leave("timer", lambda: signal.setitimer(signal.ITIMER_REAL, 500))
leave("folder", lambda: os.chdir("/tmp"))

# What Python keeps.
def python():
    import codecs, json, random, types, warnings

    canary = types.ModuleType("canary_" + "module")
    canary.mark = MARK
    sys.modules["canary_module"] = canary
    builtins.canary = MARK
    builtins.len_of_canary = lambda: MARK
    json.dumps_of_canary = MARK
    os.canary = MARK
    sys.path.insert(0, "/tmp/" + MARK)
    sys.meta_path.append(type("Canary", (), {"find_spec": staticmethod(lambda *_: None)}))
    sys.path_hooks.append(lambda path: exec("raise ImportError"))
    sys.setrecursionlimit(777)
    sys.setswitchinterval(0.077)
    sys.excepthook = lambda *_: None
    sys.displayhook = lambda *_: None
    codecs.register(lambda name: None)
    codecs.register_error("canary", lambda error: ("", error.end))
    warnings.simplefilter("ignore")
    random.seed(7)
    gc.disable()
    gc.set_threshold(7)
    gc.callbacks.append(lambda *_: None)
    sys.intern(MARK + "-interned")
    # In the middle of the interpreter: what it calls 251, which every program shares with it.
    ctypes.c_uint32.from_address(id(251) + 24).value = 1251
    ctypes.memmove(id(b"\xfb") + bytes.__basicsize__ - 1, b"\xfc", 1)


leave("python", python)
for name in LEFT:
    print(name)
sys.stdout.flush()


# A few that don't want to die, and hold what is held. The first one's parent is gone.
def stay(number):
    if os.fork():
        return
    try:
        os.setsid()
        for one in range(1, 32):
            try:
                signal.signal(one, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        if number == 0 and os.fork():
            os._exit(0)
        os.close(1), os.close(2)
        # Not bound to outlive anybody if it isn't ended.
        for _ in range(40):
            time.sleep(0.5)
    finally:
        os._exit(0)


if @STAYS@:
    try:
        stay(0), stay(1), stay(2)
        threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
    except (OSError, RuntimeError):
        pass
if @EXITS@:
    os._exit(0)
