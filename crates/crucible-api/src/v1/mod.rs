//! Version 1 of the wire format.

mod attack;
mod attack_run;
mod catalogue;
mod evaluation;
mod http_problem;
mod object;
mod observed;
mod outcome;
mod posture;
mod problem;
mod protection;
mod report;
mod sandbox;
mod scan;
mod service;
mod statistics;
mod submit;
mod webhook;

pub use attack::{
    ArmReport, AttackNode, AttackReport, ControlReport, Expected, HeldByReport, PropertyReport, Reach, SuiteReport,
    UserKind, Verdict, VerdictCounts,
};
pub use attack_run::{AttackRun, AttackRunList, AttackRunReport, AttackStarted, AttackState, StartAttack};
pub use catalogue::{
    PolicyEntry, PolicyList, PolicyText, RuleList, ScanProgram, ScannedProgram, SettingEntry, SettingList, TestPolicy,
};
pub use evaluation::{Evaluation, EvaluationEvent, EvaluationList, EvaluationState, EvaluationSummary};
pub use http_problem::{HttpProblem, PROBLEM_TYPE};
pub use object::Object;
pub use observed::{Anomaly, Baseline, Behavior, Coverage, Sample, Tripwire, monitoring};
pub use outcome::{
    Admission, CollectedFile, DecisionReason, Evidence, Finding, Outcome, RefusedFile, Review, Status, Timings, Usage,
    Validity,
};
pub use posture::{PostureDifference, PostureRecord, PostureSummary};
pub use problem::{Problem, ProblemDetail};
pub use protection::{Layer, Layers, LimitEnforcement, layers, limits};
pub use report::{
    BackendReport, CheckReport, CheckStatus, ComponentReport, DoctorReport, SelfTestReport, UnavailableBackend,
};
pub use sandbox::{
    CreateSandbox, ExecControl, ExecEnded, ExecEvent, ExecOutcome, ExecRequest, FileEntry, FileKind, FileList,
    OutputStream, Sandbox, SandboxList, SandboxRecord, SandboxState, SandboxUsage, TerminalSize, milliseconds,
    sandbox_protection,
};
pub use scan::{Import, Rule, RuleReferences, RulesInForce, ScanReport, ScannedFile, Unread};
pub use service::{
    BackendList, Component, ComponentList, CreateKey, CreatedKey, Key, KeyList, Me, MissingBackend, PastTest, Project,
    ProjectList, ProjectQueue, ProjectQuotas, QueueFlow, QueueReport, ServiceBackend, SetBackend, SetQueueFlow,
    StoreBackup, StoreChecked, StoreForget, StoreForgotten,
};
pub use statistics::{Percentiles, Statistics, StatisticsBucket, StatisticsTotals};
pub use submit::{
    Accepted, BatchAccepted, BatchResult, DecideEvaluation, RerunEvaluation, ReviewDecision, SubmitBatch,
    SubmitEvaluation, SubmittedFile,
};
pub use webhook::{CreateWebhook, CreatedWebhook, SetWebhook, Webhook, WebhookList, WebhookMessage, WebhookTried};
