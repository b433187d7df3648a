def prepare():
    import gc, os, posix, sys

    # What the interpreter has so far is left alone when garbage is looked for, which each run would do three times at its
    # end. Modules stay referenced by a list that refers to itself, so that whatever a program puts into one goes when modules
    # are emptied.
    del sys.modules['gc']
    modules = [module for name, module in sys.modules.items() if name != '__main__']
    modules.append(modules)
    old = sys.modules['__main__'].__dict__
    gc.collect()
    gc.freeze()

    # The program's own module is made anew: it is garbage like any other.
    room = bytearray(40 + 65536)
    for at in range(32):
        room[at] = at * 37 + 11 & 255
    sys.modules['__main__'] = type(sys)('__main__')
    main = sys.modules['__main__'].__dict__
    main['__annotations__'] = {}
    main['__builtins__'] = old['__builtins__']
    main['__loader__'] = old['__loader__']

    # What a run begins with, before its program is looked for.
    def begin(_):
        del main['\0']
        length = int.from_bytes(room[36:40], 'little')
        count, *texts = bytes(room[40:40 + length]).split(b'\0')
        count = int(count)
        sys.orig_argv[:] = [os.fsdecode(text) for text in texts[count:]]
        sys.argv[:] = sys.orig_argv[1:]
        variables = {}
        for text in texts[:count]:
            name, _, value = text.partition(b'=')
            variables[name] = value
            if posix.environ.pop(name, None) != value:
                posix.putenv(name, value)
        for name in posix.environ:
            posix.unsetenv(name)
        posix.environ.clear()
        posix.environ.update(variables)
        return True

    main['\0'] = begin
    room[32:36] = id(begin).to_bytes(4, 'little')


prepare()
