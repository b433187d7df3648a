"""Says hello, and shows how little of the machine a sandbox holds."""

import os
import socket

print("Hello from inside.")
print("I am user", os.getuid(), "on host", socket.gethostname(), "in", os.getcwd())
print("The root folder holds", ", ".join(sorted(os.listdir("/"))))

try:
    socket.create_connection(("127.0.0.1", 80), timeout=1)
except OSError as error:
    print("The network:", error)
