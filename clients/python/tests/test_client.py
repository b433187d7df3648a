"""The clients against a real service: both, for all that both can do."""

import contextlib
import hashlib
import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import anyio
import pytest

import crucible_sandbox as crucible
from crucible_sandbox import AsyncClient, Client, LocalServer, Output, models

LIMITS = {"memory": "1GiB", "disk": "512MiB", "file_size": "512MiB"}


def test_a_program_is_run_and_its_outcome_has_types(client: Client) -> None:
    outcome = client.run("import sys; print(sys.stdin.read(), *sys.argv[1:])", stdin="in", args=["a", "b"])
    assert (outcome.stdout, outcome.status, outcome.validity) == ("in a b\n", "exited", "valid")
    assert outcome.evidence.layers["network_namespace"].active
    assert outcome.usage.wall_ms > 0


def test_files_go_in_and_come_out(client: Client, tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/sh\ncat data > out.bin\n")
    script.chmod(0o755)
    files = {"script.sh": script, "data": b"\xff\x00"}
    outcome = client.run(command=["./script.sh"], files=files, collect=["out.bin"])
    assert [(file.path, file.content_base64) for file in outcome.files] == [("out.bin", "/wA=")]


def test_the_guests_failure_is_an_outcome(client: Client) -> None:
    assert client.run("raise SystemExit(3)").exit_code == 3
    assert client.run("while True: pass", timeout=0.5).status == "timed_out"


def test_problems_are_errors_of_their_kind(client: Client) -> None:
    with pytest.raises(crucible.NotFound) as error:
        client.run("1", language="cobol")
    assert (error.value.status, error.value.kind) == (404, "not_found")
    assert "cobol" in error.value.message
    assert error.value.hint
    assert error.value.request_id
    with pytest.raises(crucible.InvalidInput, match="limits"):
        client.run("1", limits={"memory": "lots"})
    with pytest.raises(crucible.NotFound):
        client.get("01a00000-0000-7000-8000-000000000000")
    with pytest.raises(ValueError, match="either code or a command"):
        client.run()


def test_nobody_there_is_a_failed_connection() -> None:
    with Client("http://127.0.0.1:1") as nobody, pytest.raises(crucible.ConnectionFailed):
        nobody.me()


def test_fields_that_are_not_known_are_kept() -> None:
    accepted = models.Accepted.model_validate({"id": "x", "state": "queued", "later": {"a": 1}})
    assert accepted.model_dump()["later"] == {"a": 1}


def test_a_submission_is_waited_for_and_cancelled(client: Client) -> None:
    id = client.submit("import time; time.sleep(60)", labels={"suite": "cancelled"}, limits={"timeout": "1m"})
    with pytest.raises(TimeoutError):
        client.wait(id, timeout=0.3)
    client.cancel(id)
    assert client.wait(id).state == "cancelled"
    assert [each.id for each in client.evaluations(label="suite=cancelled")] == [id]


def test_an_evaluation_without_an_outcome_is_an_error(client: Client) -> None:
    id = client.submit("import time; time.sleep(60)", limits={"timeout": "1m"})
    client.cancel(id)
    evaluation = client.wait(id)
    if evaluation.outcome is None:
        with pytest.raises(crucible.EvaluationFailed, match="cancelled"):
            crucible.client._outcome(evaluation)


def test_events_come_to_the_last(client: Client) -> None:
    id = client.submit("print('a', flush=True)")
    kinds = [event.kind for event in client.events(id)]
    assert (kinds[0], kinds[-1]) == ("submitted", "finished")
    assert "output_produced" in kinds


def test_many_are_mapped_in_order_with_progress(client: Client) -> None:
    told: list[tuple[int, int]] = []
    programs = [*(f"print({number})" for number in range(25)), crucible.SubmitEvaluation(code="1", language="cobol")]
    results = client.map(programs, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (26, 26)
    assert isinstance(results[-1], crucible.NotFound)
    outputs = [result.outcome.stdout for result in results[:-1] if isinstance(result, models.Evaluation) and result.outcome]
    assert outputs == [f"{number}\n" for number in range(25)]


def test_commands_files_and_ends_of_a_sandbox(client: Client, tmp_path: Path) -> None:
    with client.sandbox(limits=LIMITS, env={"A": "1"}) as sandbox:
        result = sandbox.exec(["sh", "-c", "echo $A$B; pwd; cat; exit 3"], env={"B": "2"}, cwd="/tmp", input="in")
        assert (result.stdout, result.returncode, result.ok) == ("12\n/tmp\nin", 3, False)
        assert sandbox.exec(["sh", "-c", "kill -TERM $$"]).returncode == 143
        assert sandbox.exec(["sleep", "60"], timeout=0.3).status == "timed_out"
        sandbox.write_file("folder/file", "text", executable=True)
        assert [(entry.name, entry.kind) for entry in sandbox.list_files()] == [("folder", "directory")]
        assert sandbox.read_file("folder/file") == b"text"
        sandbox.download("folder/file", tmp_path / "out")
        sandbox.write_file("again", tmp_path / "out")
        assert sandbox.read_file("again") == b"text"
        with pytest.raises(IsADirectoryError):
            sandbox.read_file("folder")
        with pytest.raises(NotADirectoryError):
            sandbox.list_files("again")
        with pytest.raises(crucible.FileTooLarge):
            sandbox.read_file("again", max_bytes=3)
        with pytest.raises(crucible.NotFound, match="no such file"):
            sandbox.download("nothing", tmp_path / "nothing")
        assert not list(tmp_path.glob("*nothing*"))
        sandbox.remove_file("again")
        with pytest.raises(crucible.NotFound, match="no such program"):
            sandbox.exec(["nothing"])
        with pytest.raises(crucible.Refused):
            sandbox.exec(["id"], user="nobody")
    with pytest.raises(crucible.NotFound):
        client.attach(sandbox.id)
    assert sandbox.record().ended == "it was removed"


def test_a_fork_has_the_files(client: Client) -> None:
    with client.sandbox() as first:
        first.write_file("a", "1")
        with first.fork() as second:
            second.write_file("b", "2")
            assert second.read_file("a") == b"1"
        with pytest.raises(crucible.NotFound):
            first.read_file("b")


def test_a_stream_comes_piece_by_piece_and_ends_with_its_block(client: Client) -> None:
    with client.sandbox() as sandbox:
        began = time.monotonic()
        with sandbox.stream(["sh", "-c", "echo first; sleep 30"]) as events:
            event = next(events)
        assert event == Output("stdout", b"first\n")
        assert time.monotonic() - began < 20
        deadline = time.monotonic() + 20
        while sandbox.refresh().busy and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sandbox.document.busy == 0


def test_a_stream_is_whole_where_the_caller_would_take_it_compressed(client: Client) -> None:
    with client.sandbox() as sandbox:
        answer = client._http.post(
            f"/v1/sandboxes/{sandbox.id}/exec", params={"stream": "true"}, json={"command": ["echo", "hi"]}
        )
    assert '"event":"ended"' in answer.text


def test_output_beyond_the_bound_ends_the_command(client: Client) -> None:
    with client.sandbox() as sandbox:
        with pytest.raises(crucible.OutputLimitExceeded) as error:
            sandbox.exec(["cat", "/dev/zero"], output_limit=100_000)
        assert len(error.value.stdout) == 100_000


def test_input_of_any_size_arrives_while_output_comes(client: Client) -> None:
    data = os.urandom(50 << 20)
    with client.sandbox(limits=LIMITS) as sandbox:
        assert sandbox.exec(["sha256sum"], input=data).stdout.split()[0] == hashlib.sha256(data).hexdigest()
        assert sandbox.exec(["cat"], input=data).stdout_bytes == data
        # A command that reads nothing ends all the same.
        assert sandbox.exec(["true"], input=data).ok
        with pytest.raises(crucible.NotFound, match="no such program"):
            sandbox.exec(["nothing"], input=data)


def test_large_files_and_commands_and_many_files(client: Client) -> None:
    data = os.urandom(50 << 20)
    with client.sandbox(limits=LIMITS) as sandbox:
        sandbox.write_file("large", data)
        assert sandbox.read_file("large") == data
        chunks = ["x" * 65536] * 16
        assert sandbox.exec(["printf", "%s", *chunks]).stdout == "".join(chunks)
        assert sandbox.exec(["sh", "-c", "mkdir m; cd m; i=0; while [ $i -lt 10000 ]; do : >$i; i=$((i+1)); done"]).ok
        assert len(sandbox.list_files("m")) == 10_000


def test_what_was_planted_and_touched_is_in_the_record(client: Client) -> None:
    with client.sandbox(tripwires=["file=secret.txt"]) as sandbox:
        assert [(wire.name, wire.touched) for wire in sandbox.record().tripwires] == [("/work/secret.txt", False)]
        assert sandbox.record().validity == "valid"
        sandbox.exec(["cat", "secret.txt"])
        record = sandbox.record()
        assert record.tripwires[0].touched
        assert (record.validity, record.validity_reasons) == ("sabotage_suspected", ["tripwire_touched"])
        with pytest.raises(crucible.Refused, match="left alone"):
            sandbox.fork()
    with pytest.raises(crucible.Refused, match="variable"):
        client.sandbox(tripwires=["environment=TOKEN"])


def test_what_a_sandbox_did_is_in_its_record(client: Client) -> None:
    with client.sandbox() as sandbox:
        sandbox.exec(["unshare", "-U", "true"])
    record = sandbox.record()
    assert any(behavior.kind == "syscall_denied" for behavior in record.behavior), record.behavior
    assert record.evidence.posture is not None
    assert record.evidence.posture.after is not None
    assert record.ended == "it was removed"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_all_of_that_is_awaited_too(server: LocalServer, anyio_backend: str) -> None:
    data = os.urandom(20 << 20)
    async with AsyncClient(server.url) as client:
        assert (await client.run("print(1)")).stdout == "1\n"
        results = await client.map([f"print({number})" for number in range(10)])
        assert [r.outcome.stdout for r in results if isinstance(r, models.Evaluation) and r.outcome] == [
            f"{number}\n" for number in range(10)
        ]
        kinds = [event.kind async for event in client.events(await client.submit("1"))]
        assert kinds[-1] == "finished"
        async with await client.sandbox(limits=LIMITS) as sandbox:
            assert (await sandbox.exec(["cat"], input=data)).stdout_bytes == data
            await sandbox.write_file("a", data)
            assert await sandbox.read_file("a") == data
            async with sandbox.stream(["echo", "hi"]) as events:
                assert await anext(events) == Output("stdout", b"hi\n")
            with anyio.move_on_after(0.5) as scope:
                await sandbox.exec(["sleep", "60"])
            assert scope.cancelled_caught
            async with await sandbox.fork() as fork:
                assert await fork.read_file("a") == data
        assert (await sandbox.record()).ended == "it was removed"


def test_a_terminal_in_a_sandbox(client: Client) -> None:
    with client.sandbox() as sandbox:
        command = [sys.executable, "-m", "crucible_sandbox.shell", "--server", client.url, sandbox.id]
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(command[0], command)
        said = b""
        os.write(terminal, b"echo $((6*7)); tty; exit 5\n")
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 4096):
                said += piece
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 5
    assert b"42\r\n/dev/pts/" in said


def test_the_service_holds_no_file_or_input_in_memory(binary: Path) -> None:
    data = os.urandom(50 << 20)
    with LocalServer(binary) as server, Client(server.url) as client, client.sandbox(limits=LIMITS) as sandbox:
        sandbox.exec(["cat"], input=b"1")
        before = _most_memory(server.pid)
        assert sandbox.exec(["cat"], input=data).stdout_bytes == data
        sandbox.write_file("large", data)
        assert sandbox.read_file("large") == data
        assert _most_memory(server.pid) - before < 40 << 20


def _most_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def test_a_local_service_ends_with_its_client(binary: Path) -> None:
    with crucible.Crucible.local(binary) as client:
        assert client._server is not None
        pid, folder = client._server.pid, client._server.data_dir
        assert client.me().role == "admin"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder.exists()


def test_a_local_service_ends_with_a_program_that_forgot_it(binary: Path) -> None:
    program = "from crucible_sandbox import Client; c = Client.local(); print(c._server.pid)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(ran.stdout), 0)


def test_a_local_service_ends_with_a_program_that_was_killed(binary: Path) -> None:
    program = "import os; from crucible_sandbox import Client; c = Client.local(); print(c._server.pid, flush=True)"
    program += "; os.kill(os.getpid(), 9)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ran.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while Path(f"/proc/{int(ran.stdout)}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{int(ran.stdout)}").exists()


def test_a_binary_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(crucible.BinaryNotFound):
        crucible.find_binary(tmp_path / "nothing")
    monkeypatch.delenv("CRUCIBLE_BINARY")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(crucible.BinaryNotFound, match="CRUCIBLE_BINARY"):
        crucible.find_binary()
    broken = tmp_path / "crucible"
    broken.write_text(textwrap.dedent("#!/bin/sh\necho broken >&2\nexit 9\n"))
    broken.chmod(0o755)
    with pytest.raises(crucible.LocalServerError, match="broken"):
        LocalServer()


def test_a_service_that_goes_away_is_a_failed_connection(binary: Path) -> None:
    server = LocalServer(binary)
    try:
        with Client(server.url) as client:
            sandbox = client.sandbox()
            with sandbox.stream(["sh", "-c", "echo hi; sleep 60"]) as events:
                next(events)
                os.kill(server.pid, signal.SIGKILL)
                with pytest.raises(crucible.ConnectionFailed):
                    list(events)
    finally:
        server.stop()
