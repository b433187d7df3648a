"""The types of the interface, made of its description by scripts/models. Fields that it doesn't name are kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from pydantic import BaseModel, ConfigDict, Field, RootModel
from typing_extensions import TypeAliasType


class Anomaly(BaseModel):
    """
    One respect in which a run stands out from earlier ones with its label.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    metric: str
    """
    What was measured.
    """
    value: float
    """
    What this run had.
    """
    median: float
    """
    The median of the earlier runs.
    """
    score: float
    """
    How far from it, in scaled median absolute deviations.
    """
    runs: Annotated[int, Field(ge=0)]
    """
    How many earlier runs it was compared with.
    """
    message: str
    """
    It in words.
    """


class AttackStarted(BaseModel):
    """
    A run that was begun.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    Its id.
    """


class Baseline(BaseModel):
    """
    How a run stands to earlier ones with its label.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    label: str
    """
    The label.
    """
    runs: Annotated[int, Field(ge=0)]
    """
    How many earlier runs there are to compare with.
    """
    state: str
    """
    What came of it: `compared`, `too_few` (earlier runs), `nothing_to_compare` or `unavailable`.
    """
    reason: str | None = None
    """
    Why earlier runs couldn't be read, where that is so.
    """
    learnt: bool
    """
    Whether later runs are compared with this one.
    """
    not_learnt_because: str | None = None
    """
    Why not.
    """


class ForetoldByItem(RootModel[int]):
    root: Annotated[int, Field(ge=0)]


class Behavior(BaseModel):
    """
    Something that the host saw.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    kind: str
    """
    What kind of thing.
    """
    name: str
    """
    Which.
    """
    count: Annotated[int, Field(ge=0)]
    """
    How often.
    """
    first_at_ms: float | None = None
    """
    When first, from the start of the command.
    """
    source: str | None = None
    """
    Whose word the name is: `host` or `claimed`, that is, the guest's.
    """
    foretold_by: list[ForetoldByItem] | None = None
    """
    The findings that foretold it, by their place in `findings`.
    """
    message: str | None = None
    """
    It in words.
    """


class CollectedFile(BaseModel):
    """
    A file brought out.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    path: str
    """
    Where it was: below the work folder, or absolute.
    """
    size: Annotated[int, Field(ge=0)]
    """
    Its size in bytes.
    """
    content_base64: str
    """
    Its bytes.
    """


class Coverage(BaseModel):
    """
    How well a part of a run could be watched.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    state: str
    """
    `events`, `sampled` or `unavailable`.
    """
    reason: str | None = None
    """
    Why no better; `null` for `events`.
    """


class CreateKey(BaseModel):
    """
    A key to be made.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    What people call it: who has it, or what for.
    """
    role: str
    """
    `viewer`, `submitter`, `reviewer` or `admin`.
    """
    project: str | None = None
    """
    Whose evaluations it is for; without it, `default`.
    """


class CreateSandbox(BaseModel):
    """
    A sandbox to be made. Everything may be left out.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    backend: str | None = None
    """
    A backend's name, or `auto`.
    """
    language: str | None = None
    """
    The language whose interpreter it is to have; without one it has the ordinary programs.
    """
    policy: str | None = None
    """
    A policy's name.
    """
    network: str | None = None
    """
    The network inside: `none`, or `allow:HOST:PORT,...`; without it, the policy's.
    """
    limits: dict[str, Any] | None = {}
    """
    Limits that differ from the usual ones, by their names in the configuration: `{"memory": "1GiB", "pids": 128}`.
    """
    env: dict[str, str] | None = {}
    """
    Variables of every command.
    """
    tripwires: list[str] | None = []
    """
    Things to plant that an honest guest leaves alone: `file=.netrc`. Variables can't be planted here.
    """
    command_timeout: str | None = None
    """
    How long a command may take that says nothing of it: `30s`. Without it, as long as the sandbox lives.
    """
    idle_timeout: str | None = None
    """
    How long it may lie idle: `10m`.
    """
    lifetime: str | None = None
    """
    How long it may live: `1h`.
    """


class CreateWebhook(BaseModel):
    """
    What to make a webhook of.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    url: str
    """
    The address that is told: `https://...`.
    """
    kinds: list[str] | None = None
    """
    What it is told of: `finished`, `failed`, `cancelled`, `dead`, `rejected`, `held`; all of these where it is empty.
    """
    project: str | None = None
    """
    The project of whose evaluations it is told; the key's own where it is left out.
    """


class DecisionReason(BaseModel):
    """
    One reason for a decision.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    decision: str
    """
    What it leads to: `allow`, `hold` or `deny`.
    """
    clause: str
    """
    The part of the policy that says so.
    """
    message: str
    """
    In words.
    """


class EvaluationEvent(BaseModel):
    """
    Something that happened to an evaluation.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    number: Annotated[int, Field(ge=0)]
    """
    Its place among the evaluation's events: 1, 2, 3, with none left out.
    """
    global_: Annotated[int, Field(alias="global", ge=0)]
    """
    Its place among all events of the service.
    """
    evaluation: str
    """
    The evaluation.
    """
    project: str
    """
    Whose it is.
    """
    kind: str
    """
    What kind of thing: `submitted`, `output_produced`, `finished`.
    """
    at: str
    """
    When, by RFC 3339.
    """
    data: dict[str, Any]
    """
    The rest, by its kind.
    """


class EvaluationSummary(BaseModel):
    """
    An evaluation in a list, without what came of it.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    Its id.
    """
    project: str
    """
    Whose it is.
    """
    state: Literal[
        "queued", "held", "running", "finished", "failed", "cancelled", "dead"
    ]
    """
    How far it is.
    """
    status: str | None = None
    """
    How it ended: the outcome's `status`.
    """
    validity: str | None = None
    """
    Whether the outcome says something about the task.
    """
    backend: str | None = None
    """
    What ran it.
    """
    verdict: str | None = None
    """
    What was decided before it ran: `allow`, `hold` or `deny`.
    """
    language: str | None = None
    """
    The program's language, where it is a source text.
    """
    wall_ms: float | None = None
    """
    How long the program ran, where it did.
    """
    attempt: Annotated[int, Field(ge=0)]
    """
    How often it was tried.
    """
    node: str
    """
    The machine that it is on; empty while nobody has begun it.
    """
    priority: int
    """
    What goes first.
    """
    labels: dict[str, str]
    """
    What it was labelled with.
    """
    created_at: str
    """
    When it was asked for, by RFC 3339.
    """
    started_at: str | None = None
    """
    When it was last begun.
    """
    finished_at: str | None = None
    """
    When it got its final state.
    """


class Finding(BaseModel):
    """
    Something that the scanner saw.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    rule: str
    """
    The rule's id.
    """
    severity: str
    """
    How bad it would be: `info`, `low`, `medium`, `high` or `critical`.
    """
    line: Annotated[int, Field(ge=0)]
    """
    The line, from 1.
    """
    message: str
    """
    What it means.
    """
    group: str | None = None
    """
    The rule's group.
    """
    file: str | None = None
    """
    The file, as it was named to the scanner.
    """
    column: Annotated[int | None, Field(ge=0)] = None
    """
    The column, from 1, in characters.
    """
    end_line: Annotated[int | None, Field(ge=0)] = None
    """
    The last line.
    """
    end_column: Annotated[int | None, Field(ge=0)] = None
    """
    The column after the last.
    """


class HeldByReport(BaseModel):
    """
    Which layers hold a property, by the names that the outcome's evidence has for them.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    alone: list[str]
    """
    Each of these held it with all other layers left off that can be.
    """
    needed: list[str]
    """
    Without any one of these it was breached: it rests on each of them.
    """
    unknown: list[str]
    """
    Layers for which that could not be found out.
    """


class Import(BaseModel):
    """
    A module that a program takes in.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    module: str
    """
    Its full name.
    """
    file: str
    """
    The file.
    """
    line: Annotated[int, Field(ge=0)]
    """
    The line, from 1.
    """
    column: Annotated[int, Field(ge=0)]
    """
    The column, from 1, in characters.
    """
    end_line: Annotated[int, Field(ge=0)]
    """
    The last line.
    """
    end_column: Annotated[int, Field(ge=0)]
    """
    The column after the last.
    """


class Key(BaseModel):
    """
    A key, without what opens anything.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    Its id.
    """
    name: str
    """
    What people call it.
    """
    role: str
    """
    What it may do.
    """
    project: str
    """
    Whose evaluations it is for.
    """
    created_at: str
    """
    When it was made, by RFC 3339.
    """
    revoked_at: str | None = None
    """
    Since when it opens nothing any more.
    """
    last_used_at: str | None = None
    """
    When it was last used, to within a minute.
    """


class KeyList(BaseModel):
    """
    Keys.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    keys: list[Key]
    """
    The oldest first.
    """


class Layer(BaseModel):
    """
    One layer: in force with particulars, or not in force with the reason and the mend.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    active: bool
    """
    Whether it is in force.
    """
    detail: str | None = None
    """
    Particulars of a layer in force; may be empty.
    """
    reason: str | None = None
    """
    Why it isn't in force.
    """
    mend: str | None = None
    """
    What the person can do about it.
    """


class Me(BaseModel):
    """
    Who asks, and whom they ask.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    key: str | None = None
    """
    The id of the key that was shown; `null` where there are no keys.
    """
    name: str
    """
    What that key is called; `local` where there are no keys.
    """
    project: str
    """
    Whose evaluations it is for.
    """
    role: str
    """
    `viewer`, `submitter`, `reviewer` or `admin`.
    """
    keys_required: bool
    """
    Whether the service lets in whoever has a key alone.
    """
    node: str
    """
    What the service's machine is called.
    """
    version: str
    """
    Crucible's version.
    """


class MissingBackend(BaseModel):
    """
    A backend that this machine can't run.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    backend: str
    """
    Its name.
    """
    reason: str
    """
    Why not.
    """
    hint: str | None = None
    """
    What a person can do about it.
    """


class PastTest(BaseModel):
    """
    What one self-test of a part came to.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    at: str
    """
    When, by RFC 3339.
    """
    passed: Annotated[int, Field(ge=0)]
    """
    Checks that passed.
    """
    total: Annotated[int, Field(ge=0)]
    """
    All checks.
    """
    failed: list[str]
    """
    What those are called that failed.
    """


class Percentiles(BaseModel):
    """
    What so many of a hundred stayed within, to a tenth or so.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    p50: float
    """
    Half.
    """
    p90: float
    """
    90.
    """
    p99: float
    """
    99.
    """


class PolicyEntry(BaseModel):
    """
    A policy that requests may name.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    Its name.
    """
    title: str
    """
    What it is for, in a sentence.
    """
    origin: str
    """
    Where it comes from: `built-in` or `configured`.
    """
    in_force: bool
    """
    Whether it is the one that holds where a request names none.
    """
    hash: str
    """
    BLAKE3 of its demands, in hexadecimal.
    """


class PolicyList(BaseModel):
    """
    Policies that requests may name.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    policies: list[PolicyEntry]
    """
    The built-in ones first.
    """


class PolicyText(BaseModel):
    """
    A policy with all that it says.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    Its name.
    """
    toml: str
    """
    All of it as TOML.
    """
    hash: str
    """
    BLAKE3 of its demands, in hexadecimal.
    """
    in_words: list[str]
    """
    What it demands, in words.
    """


class PostureDifference(BaseModel):
    """
    A fact that wasn't as planned.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    What was looked at: `capabilities.effective`, `namespace.mount`, `mounts`.
    """
    seen: str
    """
    What was seen.
    """


class PostureSummary(BaseModel):
    """
    One look.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    as_planned: Annotated[int, Field(ge=0)]
    """
    How many facts were as planned.
    """
    not_visible: list[str]
    """
    The names of those that this user can't see.
    """
    differing: list[PostureDifference]
    """
    Those that weren't as planned.
    """


class ProblemDetail(BaseModel):
    """
    What went wrong.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    kind: str
    """
    What kind of failure: `invalid_input`, `not_found`, `refused`, `held`, `unavailable`, `io`, `configuration`,
    `conflict`, `unauthenticated`, `overloaded`, `infrastructure`.
    """
    message: str
    """
    What went wrong, in one sentence.
    """
    operation: str
    """
    What was being done.
    """
    hint: str | None = None
    """
    What the person can do about it.
    """
    retryable: bool
    """
    Whether the same request may succeed later without anyone changing anything.
    """


class ProjectQueue(BaseModel):
    """
    What a project has in a queue.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    waiting: Annotated[int, Field(ge=0)]
    """
    May be run.
    """
    delayed: Annotated[int, Field(ge=0)]
    """
    May be run later.
    """
    leased: Annotated[int, Field(ge=0)]
    """
    Are being run.
    """


class ProjectQuotas(BaseModel):
    """
    The most that a project may have; `null` is no bound.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    most_running: Annotated[int | None, Field(ge=0, le=1000000000)] = None
    """
    Evaluations that run at one time.
    """
    most_queued: Annotated[int | None, Field(ge=0, le=1000000000)] = None
    """
    Evaluations that wait at one time.
    """
    most_per_day: Annotated[int | None, Field(ge=0, le=1000000000)] = None
    """
    Evaluations accepted in a day.
    """


class QueueReport(BaseModel):
    """
    What is in a queue.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    flow: Literal["open", "paused", "draining"]
    """
    `open`, `paused` or `draining`.
    """
    waiting: Annotated[int, Field(ge=0)]
    """
    May be run.
    """
    delayed: Annotated[int, Field(ge=0)]
    """
    May be run later.
    """
    leased: Annotated[int, Field(ge=0)]
    """
    Are being run.
    """
    oldest_ms: float | None = None
    """
    How long the one that waits longest has waited; `null` where none waits.
    """
    running: Annotated[int, Field(ge=0)]
    """
    Evaluations that run on this node now.
    """
    most_running: Annotated[int, Field(ge=0)]
    """
    The most that run at one time.
    """
    most_queued: Annotated[int, Field(ge=0)]
    """
    The most that may wait.
    """
    projects: dict[str, ProjectQueue]
    """
    The same of each project that has any.
    """


class RefusedFile(BaseModel):
    """
    A path that was asked for and not brought out.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    path: str
    """
    The path as far as it can be shown.
    """
    reason: str
    """
    Why not.
    """


class RerunEvaluation(BaseModel):
    """
    A rerun that differs.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    backend: str | None = None
    """
    The backend that it is run on, instead of the one that was asked for before.
    """


class Review(BaseModel):
    """
    A person's decision about a program that was held.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    decision: str
    """
    `approved` or `rejected`.
    """
    by: str
    """
    Who decided.
    """
    reason: str
    """
    Why.
    """
    at: str
    """
    When, by RFC 3339.
    """


class CweItem(RootModel[int]):
    root: Annotated[int, Field(ge=0)]


class RuleReferences(BaseModel):
    """
    Where a weakness or technique is described.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    cwe: list[CweItem]
    """
    Numbers of the Common Weakness Enumeration.
    """
    attack: list[str]
    """
    Technique ids of MITRE ATT&CK.
    """
    more: list[str]
    """
    Anything else, by name.
    """


class Sample(BaseModel):
    """
    What a sandbox used up to a moment.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    at_ms: float
    """
    Since the command's start.
    """
    cpu_ms: float
    """
    Processor time until then.
    """
    memory_bytes: Annotated[int | None, Field(ge=0)] = None
    """
    Memory then.
    """
    processes: Annotated[int | None, Field(ge=0)] = None
    """
    Processes and threads then.
    """
    read_bytes: Annotated[int | None, Field(ge=0)] = None
    """
    Bytes read by system calls until then.
    """
    written_bytes: Annotated[int | None, Field(ge=0)] = None
    """
    Bytes written by system calls until then.
    """


class SandboxUsage(BaseModel):
    """
    What a sandbox used. Times are in milliseconds.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    wall_ms: float
    """
    Since it was made.
    """
    cpu_ms: float
    """
    Processor time of everything in it.
    """
    memory_peak_bytes: Annotated[int | None, Field(ge=0)] = None
    """
    Most memory at one time, files included; `null` where the host can't tell.
    """
    processes_peak: Annotated[int | None, Field(ge=0)] = None
    """
    Most processes and threads at one time; `null` where the host can't tell.
    """


class ServiceBackend(BaseModel):
    """
    A backend of a service.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    backend: str
    """
    Its name.
    """
    version: str
    """
    Its version.
    """
    isolation: str
    """
    How strong its wall is: `none`, `shared_kernel`, `own_kernel`.
    """
    layers: dict[str, Layer]
    """
    Its layers.
    """
    in_use: bool
    """
    Whether evaluations are run on it now.
    """
    out_because: str | None = None
    """
    Why not.
    """
    enabled: bool | None = None
    """
    Whether an operator wants it to be used.
    """
    running: Annotated[int | None, Field(ge=0)] = None
    """
    Evaluations that run on it now.
    """
    most_running: Annotated[int | None, Field(ge=0)] = None
    """
    Evaluations that may at one time; `null` for no bound of its own.
    """


class SetBackend(BaseModel):
    """
    What an operator decides about a backend.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    enabled: bool
    """
    Whether it is used. Off means that nothing new is begun on it.
    """
    most_running: Annotated[int | None, Field(ge=1)] = None
    """
    Evaluations that run on it at one time, from 1; `null` for no bound of its own.
    """


class SetQueueFlow(BaseModel):
    """
    A change of what a queue lets through.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    flow: Literal["open", "paused", "draining"]
    """
    From now on.
    """


class SetWebhook(BaseModel):
    """
    Whether a webhook is to be told of anything.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    enabled: bool
    """
    Whether it is.
    """


class SettingEntry(BaseModel):
    """
    A setting that a service was started with.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    key: str
    """
    Its key: `serve.most_running`.
    """
    value: Any
    """
    Its value.
    """
    origin: str
    """
    Where it comes from: `default`, `file`, `environment` or `flag`.
    """
    place: str
    """
    The file and line, the variable, or the flag.
    """


class SettingList(BaseModel):
    """
    The settings that a service was started with.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    settings: list[SettingEntry]
    """
    By key.
    """


class StartAttack(BaseModel):
    """
    A run of the attack suite to be made.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    backend: str
    """
    The backend to attack.
    """
    only: list[str] | None = None
    """
    Ids of properties; without them, all. Only then what is found is attested.
    """


FinishedAdditionalProperty = TypeAliasType(
    "FinishedAdditionalProperty", Annotated[int, Field(ge=0)]
)


class StatisticsTotals(BaseModel):
    """
    What happened within some time.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    submitted: Annotated[int, Field(ge=0)]
    """
    Evaluations that were accepted.
    """
    finished: dict[str, FinishedAdditionalProperty]
    """
    Those that got an outcome, by its `status`.
    """
    failed: Annotated[int, Field(ge=0)]
    """
    Those that Crucible failed at, for good.
    """
    cancelled: Annotated[int, Field(ge=0)]
    """
    Those that were taken back.
    """
    latency_ms: Percentiles | None = None
    run_ms: Percentiles | None = None


class StoreBackup(BaseModel):
    """
    A backup to be made.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    What its folder among the service's backups is called: ASCII letters, digits and `-_.`.
    """


class StoreChecked(BaseModel):
    """
    What looking through a store found.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    sound: bool
    """
    Whether nothing is damaged.
    """
    evaluations: Annotated[int, Field(ge=0)]
    """
    Evaluations that were looked at.
    """
    blobs: Annotated[int, Field(ge=0)]
    """
    Files of large documents that were looked at.
    """
    damage: list[str]
    """
    What is wrong, one line each.
    """
    orphans: Annotated[int, Field(ge=0)]
    """
    Files that nothing refers to; they do no harm, and go with the next collection.
    """


class StoreForget(BaseModel):
    """
    What a store is to forget. Only what has its final state ever is.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    older_than: str | None = None
    """
    What came to its end this long ago: `30d`.
    """
    larger_than: str | None = None
    """
    The oldest, until all takes no more than this: `10GiB`.
    """


class StoreForgotten(BaseModel):
    """
    What a store forgot.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    evaluations: Annotated[int, Field(ge=0)]
    """
    Evaluations.
    """
    events: Annotated[int, Field(ge=0)]
    """
    Their events.
    """
    blobs: Annotated[int, Field(ge=0)]
    """
    Files of large documents that nothing refers to any more.
    """
    bytes: Annotated[int, Field(ge=0)]
    """
    Bytes of those files.
    """


class SubmittedFile(BaseModel):
    """
    A file to put in.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    path: str | None = ""
    """
    Where it goes: below the work folder, or absolute.
    """
    content: str | None = None
    """
    What is in it, as text.
    """
    content_base64: str | None = None
    """
    What is in it byte for byte, instead of `content`.
    """
    executable: bool | None = False
    """
    Whether it may be executed.
    """


class TerminalSize(BaseModel):
    """
    How many characters a terminal shows.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    rows: Annotated[int, Field(ge=0)]
    """
    Lines.
    """
    columns: Annotated[int, Field(ge=0)]
    """
    Characters of a line.
    """


class TestPolicy(BaseModel):
    """
    A policy to be tried on a program: one by its `name`, or one as `toml`.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    policy: str | None = None
    """
    A policy's name.
    """
    toml: str | None = None
    """
    A policy as its file would have it, instead of `policy`. At most 64 KiB.
    """
    code: str | None = None
    """
    The program as text.
    """
    code_base64: str | None = None
    """
    The program byte for byte, instead of `code`.
    """
    language: str | None = None
    """
    The program's language; without it, `python`.
    """
    files: Annotated[list[SubmittedFile] | None, Field(validate_default=True)] = []
    """
    Files beside it. At most 4096.
    """


class Timings(BaseModel):
    """
    Where the time went, in milliseconds, to the microsecond.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    queue_ms: float
    """
    Waiting for a place.
    """
    scan_ms: float | None = None
    """
    Looking at the program before it ran. It goes on beside the rest where the policy lets it, so it isn't a part of the sum.
    """
    create_ms: float
    """
    Making the sandbox and putting the files in.
    """
    posture_ms: float | None = None
    """
    What looking at the sandbox from outside added. A part of the times before and after.
    """
    exec_ms: float
    """
    The command itself.
    """
    destroy_ms: float
    """
    Collecting and clearing away.
    """


class Tripwire(BaseModel):
    """
    Something that was planted to be left alone, and whether it was.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    Its path, or the variable's name.
    """
    kind: str
    """
    `credentials`, `file`, `environment` or `listener`.
    """
    touched: bool
    """
    Whether the host saw it touched.
    """
    first_at_ms: float | None = None
    """
    When first, from the start of the command; `null` where it wasn't, or where that can't be told.
    """
    how: str | None = None
    """
    How first: `opened`, `read`, `changed`, `moved`, `called`, `secret_in_output` or `secret_in_file`.
    """


class Unread(BaseModel):
    """
    Something that was not looked at, or not whole.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    file: str
    """
    The file or folder.
    """
    reason: str
    """
    Why.
    """


class Usage(BaseModel):
    """
    What the sandbox used. Times are in milliseconds, to the microsecond.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    wall_ms: float
    """
    From the start of the command to its end.
    """
    cpu_ms: float
    """
    Processor time.
    """
    memory_peak_bytes: Annotated[int | None, Field(ge=0)] = None
    """
    Most memory at one time.
    """
    processes_peak: Annotated[int | None, Field(ge=0)] = None
    """
    Most processes and threads at one time.
    """


class VerdictCounts(BaseModel):
    """
    How many properties got each verdict.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    held: Annotated[int, Field(ge=0)]
    """
    Held.
    """
    breached: Annotated[int, Field(ge=0)]
    """
    Breached.
    """
    inconclusive: Annotated[int, Field(ge=0)]
    """
    Inconclusive.
    """
    not_applicable: Annotated[int, Field(ge=0)]
    """
    Not applicable.
    """


class Webhook(BaseModel):
    """
    A webhook.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    Its id.
    """
    project: str
    """
    The project of whose evaluations it is told.
    """
    url: str
    """
    The address.
    """
    kinds: list[str]
    """
    What it is told of; empty for everything that there is to be told.
    """
    state: str
    """
    `on`, `off`, or `broken`: too many deliveries in a row were given up, or the address said that it is gone.
    """
    created_at: str
    """
    When it was made, by RFC 3339.
    """
    delivered: Annotated[int, Field(ge=0)]
    """
    Events that it was told.
    """
    given_up: Annotated[int, Field(ge=0)]
    """
    Events that it wasn't told, after the last try.
    """
    failures: Annotated[int, Field(ge=0)]
    """
    How often the next one was tried in vain.
    """
    next_try_at: str | None = None
    """
    When that is tried again, by RFC 3339.
    """
    last_delivered_at: str | None = None
    """
    When the last one was told, by RFC 3339.
    """
    last_error: str | None = None
    """
    Why the last try failed.
    """


class WebhookList(BaseModel):
    """
    Webhooks.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    webhooks: list[Webhook]
    """
    The oldest first.
    """


class WebhookTried(BaseModel):
    """
    What came of trying a webhook out.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    delivered: bool
    """
    Whether the address said that it has it.
    """
    error: str | None = None
    """
    Why it wasn't.
    """


class Accepted(BaseModel):
    """
    An evaluation that was accepted.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    Its id.
    """
    state: Literal[
        "queued", "held", "running", "finished", "failed", "cancelled", "dead"
    ]
    """
    How far it is.
    """


class Admission(BaseModel):
    """
    What was decided before anything ran.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    decision: str
    """
    What the policy decided: `allow`, `hold` or `deny`.
    """
    reasons: list[DecisionReason]
    """
    Why; those that decided come first.
    """
    review: Review | None = None
    rules_digest: str | None = None
    """
    BLAKE3 of the scanner's rules; `null` where nothing was scanned.
    """


class ArmReport(BaseModel):
    """
    How a probe fared in one sandbox.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    reach: Literal["reached", "not_reached", "unproven"]
    """
    Whether it reached its canary.
    """
    seen: str
    """
    What the host saw, for people.
    """
    took_ms: float
    """
    How long the sandbox and the probe took, in milliseconds, to the microsecond.
    """


class AttackNode(BaseModel):
    """
    The machine that a suite was run on.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    kernel: str
    """
    The kernel's release.
    """
    user: Literal["root", "ordinary"]
    """
    Who ran the suite.
    """


class AttackRun(BaseModel):
    """
    A run of the attack suite.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    Its id.
    """
    backend: str
    """
    The backend.
    """
    only: list[str] | None = None
    """
    The properties that were asked for; empty for all.
    """
    state: Literal["running", "finished", "failed", "cancelled"]
    """
    How far it is.
    """
    created_at: str
    """
    When it was asked for, by RFC 3339.
    """
    finished_at: str | None = None
    """
    When it came to its end.
    """
    done: Annotated[int, Field(ge=0)]
    """
    Properties that were looked at.
    """
    total: Annotated[int, Field(ge=0)]
    """
    All of them; 0 until it is known.
    """
    current: str | None = None
    """
    The property that is being looked at.
    """
    breached: Annotated[int, Field(ge=0)]
    """
    Properties that were breached.
    """
    inconclusive: Annotated[int, Field(ge=0)]
    """
    Properties of which nothing is proven.
    """
    held: Annotated[int, Field(ge=0)]
    """
    Properties that were held.
    """
    failure: ProblemDetail | None = None


class AttackRunList(BaseModel):
    """
    Runs of the attack suite.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    attacks: list[AttackRun]
    """
    The newest first; at most 50 are kept.
    """


class BackendList(BaseModel):
    """
    The backends of a service.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    backends: list[ServiceBackend]
    """
    Those that it has, the preferred one first.
    """
    unavailable: list[MissingBackend]
    """
    Those that this machine can't run.
    """


class CheckReport(BaseModel):
    """
    One check.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    What was checked.
    """
    status: Literal["passed", "failed", "skipped"]
    """
    How it came out.
    """
    seen: str
    """
    What was seen.
    """
    mend: str
    """
    What to do about a failure; may be empty.
    """


class Component(BaseModel):
    """
    A part of a service.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    component: str
    """
    Its name.
    """
    healthy: bool
    """
    Whether no check failed and at least one was made.
    """
    absent: bool
    """
    Whether this machine simply doesn't have it.
    """
    passed: Annotated[int, Field(ge=0)]
    """
    Checks that passed.
    """
    total: Annotated[int, Field(ge=0)]
    """
    All checks.
    """
    checks: list[CheckReport]
    """
    Its checks.
    """
    tested_at: str
    """
    When it was tested, by RFC 3339.
    """
    took_ms: float
    """
    How long that took.
    """
    history: list[PastTest] | None = None
    """
    What its latest tests came to, the oldest first: at most 60, and only where they are asked for.
    """


class ComponentList(BaseModel):
    """
    What the parts of a service found when they last tested themselves.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    ready: bool
    """
    Whether the service can do its work.
    """
    unwell: list[str]
    """
    What keeps it from that, one line each.
    """
    components: list[Component]
    """
    The parts.
    """


class ControlReport(ArmReport):
    """
    How a probe fared in a weakened sandbox.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    without: list[str]
    """
    The layers that were left off, by the names that the outcome's evidence has for them.
    """


class CreatedKey(BaseModel):
    """
    A key that was made.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    secret: str
    """
    The key itself. It is told here and never again.
    """
    key: Key
    """
    All else about it.
    """


class CreatedWebhook(BaseModel):
    """
    A webhook that was just made.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    secret: str
    """
    What signs deliveries, `whsec_` and base64. It is told this once.
    """
    webhook: Webhook
    """
    The webhook.
    """


class DecideEvaluation(BaseModel):
    """
    A person's decision about an evaluation that is held.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    decision: Literal["approved", "rejected"]
    """
    Whether it may run.
    """
    reason: str
    """
    Why.
    """
    by: str | None = None
    """
    Who decides; without it, the name of the key that asks.
    """


class EvaluationList(BaseModel):
    """
    Some evaluations.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    evaluations: list[EvaluationSummary]
    """
    The newest first.
    """
    cursor: str | None = None
    """
    For the next page; `null` where there is none.
    """


class ExecEnded(BaseModel):
    """
    How a command ended.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    status: Literal[
        "exited",
        "signaled",
        "timed_out",
        "out_of_memory",
        "limit_exceeded",
        "denied",
        "cancelled",
    ]
    """
    How it ended.
    """
    exit_code: int | None = None
    """
    Its own exit code, if it ended by itself.
    """
    signal: int | None = None
    """
    The signal that ended it, if one did.
    """
    limit: str | None = None
    """
    The limit, where one ended it.
    """
    wall_ms: float
    """
    From its start to its end.
    """
    limits_observed: list[str]
    """
    Limits that the host saw the sandbox run into meanwhile.
    """
    others_ended: bool
    """
    Whether everything else in the sandbox had to be ended with it.
    """


class ExecOutcome(ExecEnded):
    """
    A command that was run to its end, with what it wrote.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    stdout: str
    """
    Standard output; where it isn't UTF-8, with replacement characters.
    """
    stderr: str
    """
    Standard error; where it isn't UTF-8, with replacement characters.
    """
    stdout_base64: str | None = None
    """
    Standard output exactly, where it isn't UTF-8.
    """
    stderr_base64: str | None = None
    """
    Standard error exactly, where it isn't UTF-8.
    """
    stdout_truncated: bool
    """
    Whether more was written to standard output than the limit allows.
    """
    stderr_truncated: bool
    """
    Whether more was written to standard error than the limit allows.
    """


class ExecRequest(BaseModel):
    """
    A command to be run in a sandbox.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    command: list[str] | None = []
    """
    The program and its arguments.
    """
    env: dict[str, str] | None = {}
    """
    Variables in addition to the sandbox's.
    """
    directory: str | None = None
    """
    Where it starts; without it, in the work folder.
    """
    user: str | None = None
    """
    The user inside that it runs as.
    """
    terminal: TerminalSize | None = None
    timeout: str | None = None
    """
    How long it may take: `10s`.
    """
    stdin: str | None = None
    """
    Standard input as text, where it isn't sent later.
    """
    stdin_base64: str | None = None
    """
    Standard input byte for byte, instead of `stdin`.
    """


class FileEntry(BaseModel):
    """
    One file of a sandbox. Its name is the guest's.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    The name; where it isn't UTF-8, with replacement characters.
    """
    name_base64: str | None = None
    """
    The name exactly, where it isn't UTF-8.
    """
    kind: Literal["file", "directory", "other"]
    """
    What it is.
    """
    size: Annotated[int, Field(ge=0)]
    """
    Its size in bytes, for a file.
    """


class FileList(BaseModel):
    """
    A folder of a sandbox.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    entries: list[FileEntry]
    """
    What is in it, sorted by name.
    """


class HttpProblem(BaseModel):
    """
    A problem document. It holds what the caller can use; the chain of causes stays inside.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: str
    """
    Which kind of problem, as a URI: `urn:crucible:problem:` and the kind.
    """
    title: str
    """
    The kind in words: the same for every problem of the kind.
    """
    status: Annotated[int, Field(ge=0)]
    """
    The HTTP status.
    """
    detail: str
    """
    What went wrong this time, and where in the request.
    """
    error: ProblemDetail
    """
    What failed, as everywhere else.
    """


class PostureRecord(BaseModel):
    """
    Both looks at a sandbox.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    before: PostureSummary
    """
    Before the program was let in.
    """
    after: PostureSummary | None = None


class Project(BaseModel):
    """
    A project that has quotas of its own.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    project: str
    """
    Its name.
    """
    quotas: ProjectQuotas
    """
    The most that it may have.
    """


class ProjectList(BaseModel):
    """
    Projects that have quotas of their own.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    projects: list[Project]
    """
    By name.
    """


class PropertyReport(BaseModel):
    """
    What was found out about one property.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    Its id: `filesystem.host_path`.
    """
    group: str
    """
    Its group: `filesystem`.
    """
    statement: str
    """
    What holds where it is held, as a sentence without a full stop.
    """
    expected: Literal["denied", "hidden", "inside", "bounded", "clean", "refused"]
    """
    What isolation is expected to do.
    """
    references: list[str]
    """
    Classes of weaknesses and incidents that it guards against: `CWE-22`.
    """
    verdict: Literal["held", "breached", "inconclusive", "not_applicable"]
    """
    The verdict.
    """
    reason: str
    """
    Why, for people.
    """
    protected: ArmReport | None = None
    control: ControlReport | None = None
    held_by: HeldByReport | None = None


class Rule(BaseModel):
    """
    A rule that scanning goes by.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    LANGUAGE.GROUP.NAME; unique.
    """
    severity: str
    """
    How bad it would be: `info`, `low`, `medium`, `high` or `critical`.
    """
    group: str
    """
    Its group.
    """
    message: str
    """
    What it means.
    """
    does: str
    """
    What the program looks like it does, after «it»; may hold placeholders.
    """
    why: str
    """
    Why it is looked for.
    """
    references: RuleReferences
    """
    Where that is described.
    """
    languages: list[str]
    """
    The languages it is about.
    """
    foreshadows: list[str]
    """
    Kinds of behaviour that the host would see at run time.
    """


class RuleList(BaseModel):
    """
    The rules that programs are looked at by.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    rules: list[Rule]
    """
    By id.
    """
    digest: str
    """
    BLAKE3 of all of them, in hexadecimal.
    """


class Sandbox(BaseModel):
    """
    A sandbox that stays open.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    Its id.
    """
    state: Literal["open", "ending"]
    """
    `open`, or `ending` when it is about to be no more.
    """
    backend: str
    """
    The backend that made it.
    """
    isolation: str
    """
    How strong its wall is: `none`, `shared_kernel`, `own_kernel`.
    """
    language: str | None = None
    """
    Its language.
    """
    interpreter: str | None = None
    """
    The path inside of the language's interpreter.
    """
    policy: str
    """
    Its policy's name.
    """
    created_at: str
    """
    When it was made.
    """
    idle_timeout_ms: Annotated[int, Field(ge=0)]
    """
    How long it may lie idle, in milliseconds.
    """
    lifetime_ms: Annotated[int, Field(ge=0)]
    """
    How long it may live, in milliseconds.
    """
    limits: dict[str, Any]
    """
    Limits in force, by their names in the configuration.
    """
    features: list[str]
    """
    What can be done in it: `terminals`, `signals`, `command_trees`, `users`, `files`, `forks`.
    """
    layers: dict[str, Layer]
    """
    Its layers as they were applied.
    """
    busy: Annotated[int, Field(ge=0)]
    """
    Commands and file transfers that are going on.
    """
    commands: Annotated[int, Field(ge=0)]
    """
    Commands that were started in it.
    """
    usage: SandboxUsage | None = None


class SandboxList(BaseModel):
    """
    Some sandboxes.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    sandboxes: list[Sandbox]
    """
    The oldest first.
    """
    cursor: str | None = None
    """
    For the next page; `null` where there is none.
    """


class ScanProgram(BaseModel):
    """
    A program to be looked at, and not to be run: `code`, files, or both.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    code: str | None = None
    """
    The program as text.
    """
    code_base64: str | None = None
    """
    The program byte for byte, instead of `code`.
    """
    language: str | None = None
    """
    The program's language; without it, `python`.
    """
    files: Annotated[list[SubmittedFile] | None, Field(validate_default=True)] = []
    """
    Files beside it. At most 4096.
    """
    policy: str | None = None
    """
    A policy's name.
    """


class ScannedProgram(BaseModel):
    """
    What looking at a program told, and what its policy makes of that.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    language: str
    """
    The language that it was looked at in.
    """
    policy: str
    """
    The policy's name.
    """
    findings: list[Finding]
    """
    What was seen, by file and place.
    """
    left_out: Annotated[int, Field(ge=0)]
    """
    Findings beyond the bound on their number.
    """
    imports: list[Import]
    """
    What is imported, by file and place. At most 1000.
    """
    unread: list[Unread]
    """
    What was not looked at whole.
    """
    verdict: str | None = None
    """
    The worst finding's severity: `info` to `critical`; `null` where there is none.
    """
    decision: str
    """
    What the policy would decide: `allow`, `hold` or `deny`.
    """
    reasons: list[DecisionReason]
    """
    Why; those that decided come first.
    """
    least_isolation: str
    """
    The weakest wall that would be enough: `none`, `shared_kernel` or `own_kernel`.
    """
    took_ms: float
    """
    How long looking took.
    """


class StatisticsBucket(StatisticsTotals):
    """
    What happened within some time, and how it was at its end.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    at: str
    """
    When it began, by RFC 3339.
    """
    queued: Annotated[int | None, Field(ge=0)] = None
    """
    Evaluations that waited, when it was last looked; `null` where nobody looked.
    """
    running: Annotated[int | None, Field(ge=0)] = None
    """
    Evaluations that ran.
    """
    sandboxes: Annotated[int | None, Field(ge=0)] = None
    """
    Sandboxes that were open; told to administrators alone.
    """
    oldest_age_s: float | None = None
    """
    How long the one that waited longest had waited; told to administrators alone.
    """


class SubmitEvaluation(BaseModel):
    """
    An evaluation to be run: `code` in a language, or a `command`. Everything else may be left out.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    code: str | None = None
    """
    The program as text.
    """
    code_base64: str | None = None
    """
    The program byte for byte, instead of `code`.
    """
    language: str | None = None
    """
    The program's language; without it, `python`.
    """
    args: list[str] | None = []
    """
    The program's arguments.
    """
    command: list[str] | None = []
    """
    A command, instead of a program: a program of the sandbox with its arguments.
    """
    files: Annotated[list[SubmittedFile] | None, Field(validate_default=True)] = []
    """
    Files to put in before it starts. At most 4096.
    """
    collect: list[str] | None = []
    """
    Files and folders to bring out after it.
    """
    tripwires: list[str] | None = []
    """
    Things to plant that an honest program leaves alone, as on the command line: `file=.netrc`, `environment=API_KEY`.
    """
    stdin: str | None = None
    """
    Standard input as text.
    """
    stdin_base64: str | None = None
    """
    Standard input byte for byte, instead of `stdin`.
    """
    env: dict[str, str] | None = {}
    """
    Variables in addition to the usual ones.
    """
    backend: str | None = None
    """
    A backend's name, or `auto`.
    """
    limits: dict[str, Any] | None = {}
    """
    Limits that differ from the usual ones, by their names in the configuration: `{"memory": "1GiB", "pids": 128}`.
    """
    policy: str | None = None
    """
    A policy's name.
    """
    network: str | None = None
    """
    The network inside: `none`, or `allow:HOST:PORT,...`; without it, the policy's.
    """
    label: str | None = None
    """
    Runs with the same label are compared with each other.
    """
    labels: dict[str, str] | None = {}
    """
    What it can be found by. At most 32, of at most 256 bytes each.
    """
    priority: int | None = 0
    """
    What goes first: the higher, from -128 to 127.
    """
    delay: str | None = None
    """
    How long it is to wait at least: `30s`.
    """
    deterministic: bool | None = False
    """
    That its result depends on nothing but this request: an earlier one of the same project with the same program, input, limits,
    policy, backend and machine then stands for it, and is answered with.
    """
    idempotency_key: str | None = None
    """
    Given again with the same request, it gives the same evaluation. At most 200 bytes.
    """


class SuiteReport(BaseModel):
    """
    What the suite found about one backend.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    backend: str
    """
    The backend's name.
    """
    suite: str
    """
    Which suite it was: BLAKE3 of its scenarios and probes, in hexadecimal digits.
    """
    attestation: str | None = None
    """
    The id of the attestation that this run made.
    """
    started: str
    """
    When it started: RFC 3339, in UTC, to the millisecond.
    """
    took_ms: float
    """
    How long it took, in milliseconds, to the microsecond.
    """
    counts: VerdictCounts
    """
    How many properties got each verdict.
    """
    properties: list[PropertyReport]
    """
    Every property, in the suite's order.
    """


class AttackReport(BaseModel):
    """
    What the suite found about one or more backends. Every field is there, `null` where there is none.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    format: str
    """
    What the document is, with the version of its format: always [`AttackReport::FORMAT`].
    """
    crucible_version: str
    """
    Crucible's own version.
    """
    node: AttackNode
    """
    The machine that the suite was run on.
    """
    policy: str
    """
    The policy's name.
    """
    verdict: Literal["held", "breached", "inconclusive", "not_applicable"]
    """
    What it all comes to: `breached` where any property is; else `inconclusive` where any is, where a suite is empty, and
    where nothing was held at all; else `held`.
    """
    suites: list[SuiteReport]
    """
    One for each backend, in the order in which they were attacked.
    """


class AttackRunReport(AttackRun):
    """
    A run of the attack suite, with what it found.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    report: AttackReport | None = None


class BatchResult(BaseModel):
    """
    What became of one evaluation of a batch: it was accepted, or there is a problem with it.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    accepted: Accepted | None = None
    problem: HttpProblem | None = None


class Evidence(BaseModel):
    """
    What a run was protected by.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    isolation: str | None = None
    """
    How strong the wall was: `none`, `shared_kernel` or `own_kernel`.
    """
    layers: dict[str, Layer]
    """
    Every layer as it was applied.
    """
    limits: dict[str, str] | None = None
    """
    How every limit was enforced.
    """
    kernel: str
    """
    The kernel's release.
    """
    backend_version: str
    """
    The backend's version.
    """
    interpreter: str | None = None
    """
    The interpreter that ran the program.
    """
    policy: str | None = None
    """
    The policy's name.
    """
    policy_hash: str
    """
    BLAKE3 of the policy's demands.
    """
    code_hash: str
    """
    BLAKE3 of the program and its input files.
    """
    start: str | None = None
    """
    What was done before the run was asked for: `cold` for nothing, `ready` for its sandbox, `interpreter` for its interpreter
    too, which others are forked from.
    """
    former_runs: Annotated[int | None, Field(ge=0)] = None
    """
    How many runs of the same project its sandbox had held before, after each of which it was found to be as new.
    """
    posture: PostureRecord | None = None
    attestation: str | None = None
    """
    The attestation that covers exactly this configuration.
    """


class Outcome(BaseModel):
    """
    What came of an evaluation. Every field is there, `null` where there is none; only the two `_base64` ones of the streams
    are there just where they are needed.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The evaluation.
    """
    backend: str
    """
    The backend that ran it.
    """
    language: str | None = None
    """
    The language, if it was a program in one.
    """
    status: Literal[
        "exited",
        "signaled",
        "timed_out",
        "out_of_memory",
        "limit_exceeded",
        "denied",
        "cancelled",
    ]
    """
    How it ended.
    """
    exit_code: int | None = None
    """
    The main process's own exit code, if it ended by itself.
    """
    signal: int | None = None
    """
    The signal that ended the main process, if one did.
    """
    limit: str | None = None
    """
    The limit, where the status is `limit_exceeded`.
    """
    stdout: str
    """
    Standard output; where it isn't UTF-8, with replacement characters.
    """
    stderr: str
    """
    Standard error; where it isn't UTF-8, with replacement characters.
    """
    stdout_base64: str | None = None
    """
    Standard output exactly, where it isn't UTF-8.
    """
    stderr_base64: str | None = None
    """
    Standard error exactly, where it isn't UTF-8.
    """
    stdout_truncated: bool
    """
    Whether more was written to standard output than the limit allows.
    """
    stderr_truncated: bool
    """
    Whether more was written to standard error than the limit allows.
    """
    files: list[CollectedFile]
    """
    Files brought out.
    """
    files_refused: list[RefusedFile] | None = None
    """
    Paths asked for and not brought out.
    """
    usage: Usage
    """
    What it used.
    """
    timings: Timings
    """
    Where the time went.
    """
    limits_observed: list[str] | None = None
    """
    Limits that the host saw the guest run into without being ended by them.
    """
    admission: Admission | None = None
    findings: list[Finding]
    """
    What the scanner saw before the run.
    """
    behavior: list[Behavior]
    """
    What the host saw during the run.
    """
    monitoring: dict[str, Coverage] | None = None
    """
    How well each part of the run could be watched: `processes`, `system_calls`, `network`, `files`, `resources`.
    """
    samples: list[Sample] | None = None
    """
    What it used over time.
    """
    anomalies: list[Anomaly] | None = None
    """
    In which respects it stands out from earlier runs with its label.
    """
    baseline: Baseline | None = None
    tripwires: list[Tripwire] | None = None
    """
    What was planted in the sandbox to be left alone.
    """
    validity: Literal["valid", "infrastructure_failure", "sabotage_suspected"]
    """
    Whether the result says something about the task.
    """
    validity_reasons: list[str] | None = None
    """
    Why, where it isn't simply valid.
    """
    evidence: Evidence
    """
    What it was protected by.
    """


class SandboxRecord(BaseModel):
    """
    What the host saw of a sandbox: until now, or until its end.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The sandbox's id.
    """
    backend: str
    """
    The backend that made it.
    """
    ended: str | None = None
    """
    Why it is no more, in words; `null` while it lives.
    """
    usage: SandboxUsage
    """
    What it used.
    """
    limits_observed: list[str]
    """
    Limits that the host saw it run into.
    """
    behavior: list[Behavior]
    """
    What the host saw it do. Times count from when it was made.
    """
    monitoring: dict[str, Coverage]
    """
    How well each part of it could be watched: `processes`, `system_calls`, `network`, `files`, `resources`.
    """
    tripwires: list[Tripwire]
    """
    What was planted in it to be left alone.
    """
    validity: Literal["valid", "infrastructure_failure", "sabotage_suspected"]
    """
    Whether what came of it says something about the task.
    """
    validity_reasons: list[str]
    """
    Why, where it isn't simply valid.
    """
    evidence: Evidence
    """
    What it was protected by. Its `code_hash` is empty: nobody knows beforehand what will be run in it.
    """


class Statistics(BaseModel):
    """
    How a service has fared: for an administrator everybody's evaluations, for others those of their own project.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    bucket_seconds: Annotated[int, Field(ge=0)]
    """
    How long a bucket is.
    """
    buckets: list[StatisticsBucket]
    """
    The oldest first, without a gap; at most 120. The last one isn't over yet.
    """
    totals: StatisticsTotals
    """
    All of them together.
    """


class SubmitBatch(BaseModel):
    """
    Many evaluations at once.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    evaluations: list[SubmitEvaluation]
    """
    At most 1000.
    """


class BatchAccepted(BaseModel):
    """
    What became of a batch.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    results: list[BatchResult]
    """
    What became of each, in their order.
    """


class Evaluation(BaseModel):
    """
    An evaluation as it is kept.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    Its id.
    """
    state: Literal[
        "queued", "held", "running", "finished", "failed", "cancelled", "dead"
    ]
    """
    How far it is.
    """
    outcome: Outcome | None = None
    failure: ProblemDetail | None = None
    validity: (
        Literal["valid", "infrastructure_failure", "sabotage_suspected"] | None
    ) = None
    attempt: Annotated[int, Field(ge=0)]
    """
    How often it was tried.
    """
    node: str
    """
    The machine that it is on; empty while nobody has begun it.
    """
    labels: dict[str, str]
    """
    What it was labelled with.
    """
    admission: Admission | None = None
    findings: list[Finding] | None = None
    """
    What the scanner saw.
    """
    project: str | None = None
    """
    Whose it is.
    """
    priority: int | None = None
    """
    What goes first.
    """
    created_at: str | None = None
    """
    When it was asked for, by RFC 3339.
    """
    started_at: str | None = None
    """
    When it was last begun.
    """
    finished_at: str | None = None
    """
    When it got its final state.
    """
    cancel_requested: bool | None = None
    """
    Whether somebody wants it to end that still runs.
    """
    review: Review | None = None
