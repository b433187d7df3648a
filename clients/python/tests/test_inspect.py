"""The provider in whole evaluations, with Inspect's mock model, which does as it is told."""

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, includes, scorer
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver, use_tools
from inspect_ai.tool import ToolChoice, ToolInfo, bash, bash_session, text_editor
from inspect_ai.util import ComposeConfig, SandboxEnvironmentSpec, sandbox
from inspect_ai.util._sandbox.registry import registry_find_sandboxenv

from crucible_sandbox import Client, LocalServer
from crucible_sandbox.inspect import CrucibleSandboxConfig, CrucibleSandboxEnvironment, crucible_behavior, crucible_validity
from crucible_sandbox.inspect.config import ConfigError, load

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture(autouse=True)
def named_server(server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CRUCIBLE_CLIENT_SERVER", server.url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def mock(*steps: ModelOutput | str) -> Model:
    """A model that takes one step after the other in each sample."""

    def answer(
        messages: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        taken = sum(message.role == "assistant" for message in messages)
        step = steps[min(taken, len(steps) - 1)]
        output = ModelOutput.from_content("mockllm/model", step) if isinstance(step, str) else step.model_copy(deep=True)
        output.usage = ModelUsage()
        return output

    return get_model("mockllm/model", custom_outputs=answer)


def call(tool: str, **arguments: Any) -> ModelOutput:
    return ModelOutput.for_tool_call("mockllm/model", tool, arguments)


def run(task: Task, model: Model, tmp_path: Path, **options: Any) -> EvalLog:
    return eval(task, model=model, log_dir=str(tmp_path / "logs"), display="none", **options)[0]


def example_module(name: str) -> Any:
    found = importlib.util.spec_from_file_location(name, EXAMPLES / "inspect" / f"{name}.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def said(log: EvalLog) -> list[str]:
    assert log.samples
    messages = [message for message in log.samples[0].messages if message.role == "tool"]
    return [f"{message.text}{message.error.message if message.error else ''}" for message in messages]


@scorer(metrics=[accuracy()])
def always() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=CORRECT)

    return score


@solver
def does(what: Callable[[], Any]) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        await what()
        return state

    return solve


def test_inspect_finds_the_provider_by_its_entry_point() -> None:
    program = "from inspect_ai.util._sandbox.registry import registry_find_sandboxenv as f; print(f('crucible').__module__)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert ran.stdout.strip() == "crucible_sandbox.inspect.environment"


def test_a_model_uses_a_tool_and_the_record_is_in_the_log(tmp_path: Path) -> None:
    task = Task(
        dataset=[Sample(input="?", target="42", files={"given.txt": "6*7"}, setup="echo ready > setup.txt")],
        solver=[use_tools(bash(timeout=10)), generate(), crucible_behavior()],
        scorer=[includes(), crucible_validity()],
        sandbox="crucible",
    )
    log = run(task, mock(call("bash", command="cat setup.txt; echo $(($(cat given.txt)))"), "42"), tmp_path)
    assert log.status == "success", log.error
    assert said(log) == ["ready\n42\n"]
    sample = log.samples[0] if log.samples else None
    assert sample
    assert sample.scores
    assert sample.scores["crucible_validity"].value == CORRECT
    record = sample.store["crucible"]["default"]
    assert (record["validity"], record["backend"], record["ended"]) == ("valid", "jail", "it was removed")
    assert record["evidence"]["posture"]["after"] is not None
    assert "default" in sample.metadata["crucible_behavior"]


def test_inspects_own_tools_work_in_it(tmp_path: Path) -> None:
    async def remote() -> None:
        result = await sandbox().exec_remote(["sh", "-c", "echo far; exit 4"], stream=False)
        assert (result.stdout, result.returncode) == ("far\n", 4)

    task = Task(
        dataset=[Sample(input="?", target="done")],
        solver=[use_tools(bash_session(), text_editor()), generate(), does(remote)],
        scorer=includes(),
        sandbox="crucible",
    )
    steps = [
        call("bash_session", action="type_submit", input="cd /tmp; x=5"),
        call("bash_session", action="type_submit", input="echo $PWD-$x"),
        call("bash_session", action="type_submit", input="echo one > /work/a.txt"),
        call("text_editor", command="str_replace", path="/work/a.txt", old_str="one", new_str="two"),
        call("text_editor", command="view", path="/work/a.txt"),
    ]
    log = run(task, mock(*steps, "done"), tmp_path)
    assert log.status == "success", log.error
    texts = said(log)
    assert "/tmp-5" in texts[1], texts
    assert "two" in texts[-1], texts


def test_a_touched_tripwire_makes_the_result_suspect(tmp_path: Path) -> None:
    config = CrucibleSandboxConfig(tripwires=("file=.private/answers.txt",))
    task = Task(
        dataset=[Sample(input="?", target="x")],
        solver=[use_tools(bash()), generate(), crucible_behavior()],
        scorer=[always(), crucible_validity()],
        sandbox=SandboxEnvironmentSpec("crucible", config),
    )
    log = run(task, mock(call("bash", command="cat .private/answers.txt"), "x"), tmp_path)
    assert log.samples
    assert log.samples[0].scores
    score = log.samples[0].scores["crucible_validity"]
    assert (score.value, "tripwire_touched" in str(score.explanation)) == (INCORRECT, True)
    assert log.samples[0].store["crucible"]["default"]["tripwires"][0]["touched"]
    kinds = [behavior["kind"] for behavior in log.samples[0].metadata["crucible_behavior"]["default"]]
    assert "tripwire_touched" in kinds


def test_a_lost_sandbox_fails_its_sample_whoever_scores_it(tmp_path: Path, server: LocalServer) -> None:
    async def lose() -> None:
        ours = sandbox().as_type(CrucibleSandboxEnvironment)
        # Somebody else removes it, and the solver goes on as if nothing was.
        with Client(server.url) as client:
            client.attach(ours.sandbox.id).close()

    config = CrucibleSandboxConfig(lifetime=2)
    for what in ("lifetime", "tool"):
        task = Task(
            dataset=[Sample(input="?", target="x")],
            solver=[does(lambda: __import__("anyio").sleep(3))]
            if what == "lifetime"
            else [does(lose), use_tools(bash()), generate()],
            scorer=always(),
            sandbox=SandboxEnvironmentSpec("crucible", config if what == "lifetime" else None),
        )
        log = run(task, mock(call("bash", command="true"), "x"), tmp_path, fail_on_error=False)
        assert log.samples
        assert log.samples[0].error, what
        assert "lost" in log.samples[0].error.message
        assert not log.samples[0].scores or log.results is None or log.results.completed_samples == 0


def test_a_service_that_dies_fails_the_samples_that_it_had(tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalServer(binary) as mortal:
        monkeypatch.setenv("CRUCIBLE_CLIENT_SERVER", mortal.url)

        async def kill() -> None:
            os.kill(mortal.pid, signal.SIGKILL)

        task = Task(dataset=[Sample(input="?", target="x")], solver=does(kill), scorer=always(), sandbox="crucible")
        log = run(task, mock("x"), tmp_path, fail_on_error=False)
    assert log.samples
    assert log.samples[0].error
    assert "lost" in log.samples[0].error.message


def test_two_hundred_samples_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        result = await sandbox().exec(["sh", "-c", "echo $((6*7)) > a; cat a"], timeout=30)
        assert result.stdout == "42\n", result

    task = Task(
        dataset=[Sample(input="?", target="x", id=number) for number in range(200)],
        solver=[does(work)],
        scorer=[always(), crucible_validity()],
        sandbox="crucible",
    )
    log = run(task, mock("x"), tmp_path, max_samples=200, max_sandboxes=200)
    assert log.status == "success", log.error
    assert log.samples
    assert len(log.samples) == 200
    assert log.results
    assert [score.metrics["accuracy"].value for score in log.results.scores] == [1.0, 1.0]


@pytest.fixture(scope="module")
def attested(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalServer, Path]]:
    """A service of a node whose jail was attacked, and what was found signed."""
    folder = tmp_path_factory.mktemp("evidence")
    folder.chmod(0o700)
    env = {"CRUCIBLE_EVIDENCE_FOLDER": str(folder)}
    known = {name: value for name, value in os.environ.items() if name != "CRUCIBLE_BINARY"}
    attack = subprocess.run(
        [binary, "attack", "-b", "jail", "--policy", "inspect", "--json"], env={**known, **env}, capture_output=True, timeout=900
    )
    assert attack.returncode in (0, 3), attack.stderr
    with LocalServer(binary, env=env) as server:
        yield server, folder


def test_human_eval_end_to_end_with_verified_evidence(
    tmp_path: Path, attested: tuple[LocalServer, Path], binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, folder = attested
    monkeypatch.setenv("CRUCIBLE_CLIENT_SERVER", server.url)
    example = example_module("complete_functions")
    log = example.main(str(tmp_path / "logs"))
    assert log.status == "success", log.error
    assert {score.name: score.metrics["accuracy"].value for score in log.results.scores} == {
        "passes_its_tests": 1.0,
        "crucible_validity": 1.0,
    }

    kept = read_eval_log(log.location)
    assert kept.samples
    assert len(kept.samples) == 164
    attestations = {sample.store["crucible"]["default"]["evidence"]["attestation"] for sample in kept.samples}
    assert len(attestations) == 1
    (attestation,) = attestations
    assert attestation, "no attestation covers the sandboxes"
    file = _file_of(folder, attestation)
    known = {name: value for name, value in os.environ.items() if name != "CRUCIBLE_BINARY"}
    key = folder / "key/public.pem"
    verified = subprocess.run([binary, "attest", "verify", file, "--key", key], env=known, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr
    # A file in which a byte was changed isn't.
    forged = tmp_path / "forged.json"
    forged.write_bytes(file.read_bytes().replace(b'"sig":"', b'"sig":"A', 1))
    assert subprocess.run([binary, "attest", "verify", forged, "--key", key], env=known, capture_output=True).returncode == 1


def _file_of(folder: Path, attestation: str) -> Path:
    digest = attestation.removeprefix("sha256:")
    for file in folder.rglob("*.json"):
        if hashlib.sha256(file.read_bytes()).hexdigest() == digest:
            return file
    raise AssertionError(f"{attestation} isn't in {folder}")


def test_a_run_of_its_own_starts_a_service_and_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRUCIBLE_CLIENT_SERVER")
    pids: list[int] = []

    async def note() -> None:
        from crucible_sandbox.inspect import servers

        assert servers._local is not None
        pids.append(servers._local.pid)

    task = Task(dataset=[Sample(input="?", target="x")], solver=[does(note)], scorer=always(), sandbox="crucible")
    assert run(task, mock("x"), tmp_path).status == "success"
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_what_a_killed_run_left_is_cleaned_up(tmp_path: Path, server: LocalServer) -> None:
    program = tmp_path / "task.py"
    program.write_text(
        "from inspect_ai import Task, task\nfrom inspect_ai.dataset import Sample\nfrom inspect_ai.solver import solver\n"
        "import anyio\n@solver\ndef hang():\n"
        "    async def solve(state, generate):\n        await anyio.sleep(600)\n    return solve\n"
        "@task\ndef left():\n    return Task(dataset=[Sample(input='?', target='x')], solver=hang(), sandbox='crucible')\n"
    )
    inspect = Path(sys.executable).with_name("inspect")
    with Client(server.url) as client:
        before = {each.id for each in client.sandboxes()}
        command = [inspect, "eval", program.name, "--model", "mockllm/model", "--display", "none", "--log-dir", tmp_path / "logs"]
        running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (left := {each.id for each in client.sandboxes()} - before) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        assert len(left) == 1
        subprocess.run([inspect, "sandbox", "cleanup", "crucible"], check=True, capture_output=True, timeout=60)
        assert not left & {each.id for each in client.sandboxes()}


# ---- configuration ----------------------------------------------------------------------------------------------------


def test_a_file_of_our_own_is_read(tmp_path: Path) -> None:
    file = tmp_path / "crucible.yaml"
    file.write_text("backend: jail\nlimits: {memory: 2GiB}\nservices: {a: {}, b: {env: {X: '1'}}}\n")
    config = load(str(file))
    assert list(config.named()) == ["a", "b"]
    file.write_text("bakend: jail\n")
    with pytest.raises(ConfigError, match="bakend"):
        load(str(file))
    assert load(CrucibleSandboxConfig(network="allow:example.org:443,[::1]:80")).network is not None
    for network in ("all", "allow:", "allow:a:1, b:2"):
        with pytest.raises(ConfigError, match="neither none nor"):
            load(CrucibleSandboxConfig(network=network))


def test_a_compose_file_is_translated_and_the_rest_refused(tmp_path: Path) -> None:
    compose = ComposeConfig.model_validate(
        {
            "services": {
                "victim": {"environment": ["A=1"], "command": "sleep infinity", "network_mode": "none", "init": True},
                "main": {
                    "x-default": True,
                    "mem_limit": "512m",
                    "cpus": 0.5,
                    "working_dir": "/work/repo",
                    "ulimits": {"nofile": 2000},
                    "deploy": {"resources": {"limits": {"memory": "2g"}}},
                    "x-crucible": {"policy": "default", "ignore": ["image"]},
                    "image": "python:3.12",
                },
            }
        }
    )
    config = load(compose)
    assert list(config.named()) == ["main", "victim"]
    main = config.named()["main"]
    assert main.limits == {"memory": 2 << 30, "cpus": "0.5", "open_files": 2000}
    assert (main.policy, main.working_dir) == ("default", "/work/repo")
    assert (config.named()["victim"].env, config.named()["victim"].network) == ({"A": "1"}, "none")
    for key, value in {
        "image": "python",
        "build": ".",
        "privileged": True,
        "volumes": ["/:/host"],
        "network_mode": "host",
        "cap_add": ["SYS_ADMIN"],
        "ports": ["80:80"],
        "environment": ["HOST_SECRET"],
        "command": "nginx",
        "user": "root",
    }.items():
        with pytest.raises(ConfigError, match=key):
            load(ComposeConfig.model_validate({"services": {"default": {key: value}}}))
    file = tmp_path / "compose.yaml"
    file.write_text("services: {default: {mem_limit: 100m}}\n")
    assert load(str(file)).named()["default"].limits == {"memory": 100 << 20}


def test_the_configuration_goes_through_a_log() -> None:
    config = CrucibleSandboxConfig(backend="jail", tripwires=("file=x",))
    kept = SandboxEnvironmentSpec("crucible", config).model_dump()
    assert SandboxEnvironmentSpec.model_validate(kept).config == config
    assert registry_find_sandboxenv("crucible") is CrucibleSandboxEnvironment
