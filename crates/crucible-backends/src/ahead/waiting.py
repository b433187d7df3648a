# What an interpreter that waits in a sandbox of its own has in the place of the library that zygotes load: it runs one program, in
# this process. The order to do so is the first that it reads of its standard input, and no byte more than the order has.


class CrucibleAlone:
    import posix
    import sys

    # A program may replace what it finds under these names.
    display, leave = sys.__excepthook__, SystemExit
    any_error, missing = BaseException, AttributeError
    has_last_error = sys.version_info >= (3, 12)
    modules = sys.modules

    def serve(self, settle, run, guest_root):
        settle()
        # The file that it was started by: nothing is to lie where the program's files come to.
        self.posix.unlink(self.sys.argv[0])
        self.posix.write(1, b"waiting\n")
        order = self.read(int.from_bytes(self.read(4), "little"))
        count, words = int.from_bytes(order[:4], "little"), order[4:].split(b"\0")
        run(words[:count], words[count:])

    def read(self, count):
        read = b""
        while len(read) < count:
            piece = self.posix.read(0, count - len(read))
            if not piece:
                # Nobody needs it any more.
                self.posix._exit(0)
            read += piece
        return read

    def show(self, kind, error, behind):
        sys = self.sys
        sys.last_type, sys.last_value, sys.last_traceback = kind, error, behind
        if self.has_last_error:
            sys.last_exc = error
        try:
            hook = sys.excepthook
        except self.missing:
            self.posix.write(2, b"sys.excepthook is missing\n")
            self.display(kind, error, behind)
            return
        try:
            sys.audit("sys.excepthook", hook, kind, error, behind)
            hook(kind, error, behind)
        except self.leave:
            raise
        except self.any_error as other:
            self.posix.write(2, b"Error in sys.excepthook:\n")
            self.display(other.__class__, other.with_traceback(other.__traceback__.tb_next), None)
            self.posix.write(2, b"\nOriginal exception was:\n")
            self.display(kind, error, behind)

    def exit(self, code, foreign):
        if foreign:
            # What C libraries registered for the end is run by Python's own, which ends threads first, as has been done.
            if self.modules.get("threading") is None:
                self.modules.pop("threading", None)
            raise self.leave(code)
        self.posix._exit(code)
