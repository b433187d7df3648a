"""Every example is run as it stands there. That of Inspect is run by test_inspect.py."""

import json
import os
import subprocess
import sys
import tempfile
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


def test_tool_calls_are_answered(server: LocalServer) -> None:
    def call(name: str, arguments: str) -> dict[str, object]:
        return {"id": f"call_{len(calls)}", "type": "function", "function": {"name": name, "arguments": arguments}}

    calls: list[dict[str, object]] = []
    for name, arguments in [
        ("run_code", json.dumps({"code": "print(6 * 7)"})),
        ("run_code", json.dumps({"code": "cat", "language": "bash", "stdin": "given"})),
        ("run_code", json.dumps({"code": "while True: pass", "timeout_seconds": 0.5})),
        ("run_code", json.dumps({"code": "print('x' * 20000)"})),
        ("run_code", '{"code": '),
        ("run_code", json.dumps({"code": "1", "policy": "unisolated"})),
        ("run_code", json.dumps({"code": "1", "timeout_seconds": 3600})),
        ("run_code", json.dumps({"language": "python"})),
        ("delete_everything", "{}"),
    ]:
        calls.append(call(name, arguments))
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    completion = {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}
    env = {**os.environ, "CRUCIBLE_CLIENT_SERVER": server.url}
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "python/tool_calls.py"],
        env=env,
        input=json.dumps(completion),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    first, *answers = json.loads(ran.stdout)
    assert first == message
    assert [answer["tool_call_id"] for answer in answers] == [each["id"] for each in calls]
    assert {answer["role"] for answer in answers} == {"tool"}
    printed, read, ended, long, *refused = [json.loads(answer["content"]) for answer in answers]
    assert (printed["status"], printed["exit_code"], printed["stdout"]) == ("exited", 0, "42\n")
    assert read["stdout"] == "given"
    assert ended["status"] == "timed_out"
    assert "[12001 characters left out]" in long["stdout"]
    said = [answer["error"] for answer in refused]
    assert "line 1 column" in said[0]
    assert said[1] == "unknown arguments: policy"
    assert said[2] == "timeout_seconds has to be above 0 and at most 60"
    assert said[3] == "missing arguments: code"
    assert said[4] == "there is no tool 'delete_everything'; there are: run_code"


def test_the_job_that_attacks_says_what_the_command_takes(binary: Path) -> None:
    job = (EXAMPLES / "ci/attack.yml").read_text()
    commands = [line.strip().removeprefix("- ") for line in job.splitlines() if line.strip().startswith("- crucible ")]
    assert len(commands) == 3
    # Whole, so that what it writes is where it says; the one that takes half a minute, by one scenario.
    for command in commands:
        command = command.replace("crucible attack", "crucible attack --only filesystem.host_path")
        with tempfile.TemporaryDirectory() as folder:
            # What names the program to the tests means nothing to the program.
            env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
            del env["CRUCIBLE_BINARY"]
            (Path(folder) / "crucible").symlink_to(binary.resolve())
            ran = subprocess.run(["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=120)
            assert ran.returncode == 0, f"{command}: {ran.stderr}"
            if "--junit" in command:
                assert 'name="filesystem.host_path"' in (Path(folder) / "isolation.xml").read_text()
                assert (Path(folder) / "isolation.html").stat().st_size > 0
                assert json.loads((Path(folder) / "isolation.json").read_text())["format"] == "crucible.attack.v1"
