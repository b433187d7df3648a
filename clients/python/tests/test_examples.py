"""Every example is run as it stands there. That of Inspect is run by test_inspect.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

from crucible_sandbox import LocalServer

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_plain_python(server: LocalServer) -> None:
    env = {**os.environ, "CRUCIBLE_CLIENT_SERVER": server.url}
    ran = subprocess.run([sys.executable, EXAMPLES / "python/many.py"], env=env, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "print(18 ** 2): exited, valid, 324" in ran.stdout
    assert "while True: pass: timed_out, valid," in ran.stdout
    assert "['1', '2', '3']" in ran.stdout
    assert "isolated by shared_kernel" in ran.stdout


def test_curl(server: LocalServer) -> None:
    env = {**os.environ, "SERVER": server.url}
    ran = subprocess.run([EXAMPLES / "curl/evaluate.sh"], env=env, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    evaluation, ended, record = map(json.loads, ran.stdout.splitlines())
    assert (evaluation["outcome"]["stdout"], ended["stdout"], record["validity"]) == ("42\n", "hello\n", "valid")
