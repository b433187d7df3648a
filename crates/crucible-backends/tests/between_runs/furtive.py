# Leaves whatever a program can leave that nobody is told of and that no file, process or socket stays of: in its own memory, in its
# process, in what Python keeps, and in the file that it was given.

import builtins, fcntl, gc, json, mmap, os, resource, signal, sys, types

MARK = "@MARK@"
hoard = [(MARK * 1000).encode() for _ in range(8)]
area = mmap.mmap(-1, 1 << 20)
area.write(MARK.encode() * 1000)
os.environ["CANARY"] = MARK
os.putenv("CANARY_TOO", MARK)
sys.path.insert(0, "/tmp/" + MARK)
sys.modules["canary_module"] = types.ModuleType("canary_" + MARK)
builtins.canary = MARK
json.canary = MARK
os.canary = MARK
sys.intern(MARK + "-interned")
sys.setrecursionlimit(777)
sys.setswitchinterval(0.077)
sys.excepthook = lambda *_: None
gc.disable()
gc.callbacks.append(lambda *_: None)
for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(one, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
signal.setitimer(signal.ITIMER_REAL, 500)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
os.umask(0o077)
os.chdir("/tmp")
with open("/work/main.py", "r+") as own:
    fcntl.flock(own, fcntl.LOCK_EX)
    own.write(MARK * 100)
os.chmod("/work/main.py", 0)
os.utime("/work/main.py", (1, 1))
os.utime("/work", (1, 1))
left, right = os.pipe()
os.write(right, MARK.encode())
print(sys.stdin.read().count(MARK), MARK in sys.argv[1], os.environ["GIVEN"] == MARK)
sys.stdout.flush()
if @EXITS@:
    os._exit(3)
