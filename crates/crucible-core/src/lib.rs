//! The vocabulary of Crucible: what every part of the system means by an evaluation, a limit, a policy, an outcome, and
//! the traits that every exchangeable part implements.
//!
//! Invariant: a guest's failure is data ([`Outcome`]); an [`Error`] means that Crucible itself could not do its work.
//! The two never mix.
//!
//! This crate does no I/O, starts no runtime and is not the wire format (that is `crucible-api`).

mod admission;
mod attack;
mod backend;
mod baseline;
mod before;
mod bus;
mod capabilities;
mod care;
mod clock;
mod component;
mod control;
mod error;
mod event;
mod evidence;
mod id;
mod language;
mod layer;
mod limits;
mod live;
mod monitor;
mod network;
mod operation;
mod outcome;
mod path;
mod policy;
mod queue;
mod report;
mod review;
mod scan;
mod spec;
mod store;
mod suggest;
mod tenancy;
mod tripwire;
mod units;
mod webhook;

pub use admission::{AdmissionRecord, Decision, DecisionReason, Review, ReviewDecision};
pub use attack::{ArmResult, ControlResult, Evaluator, Expected, HeldBy, PropertyResult, Reach, SuiteResult, Verdict};
pub use backend::{
    Backend, Command, Connection, Counters, Door, Execution, ExitStatus, FileContent, FileEntry, FileKind, Loss,
    ProcessHandle, Readiness, Sandbox, SandboxRequest,
};
pub use baseline::{
    BASELINE_WINDOW, BaselineRecord, BaselineStore, Comparison, ExitKind, History, Label, LabelSummary, Learnt,
    Profile, Tally,
};
pub use before::Before;
pub use bus::{Delivery, EventBus, EventFilter, GlobalNumber, NewEvent, StoredEvent, Subscription};
pub use capabilities::{Ability, Capabilities, Enforcement, Isolation};
pub use care::{Forgotten, Retention, StoreCare, StoreCheck};
pub use clock::Clock;
pub use component::{Check, CheckStatus, Component, Passed, SelfTest};
pub use control::{ControlArms, ControlSandbox};
pub use error::{Error, ErrorKind, Result};
pub use event::{Discard, Event, EventSink, Stream};
pub use evidence::{Evidence, Posture, PostureFact, PostureRecord, PostureState, PostureSummary, Start};
pub use id::{AttackId, EvaluationId, KeyId, SandboxId, WebhookId};
pub use language::Language;
pub use layer::{Layer, LayerState, Layers};
pub use limits::{LimitKind, Limits};
pub use live::{CommandControl, LiveFeature, Signal, TerminalSize, Tree, Uncontrolled};
pub use monitor::{
    BehaviorKind, Coverage, Monitoring, Observation, Observed, Observer, Sample, SeesNothing, Source, Watchable,
};
pub use network::{Destination, Host, MOST_DESTINATIONS, NetworkKind, NetworkPolicy};
pub use operation::{AttackRecord, AttackStore, BackendSetting, BackendStore, Switch};
pub use outcome::{
    Anomaly, Behavior, CollectedFile, MOST_SAMPLES, Outcome, Output, RefusedFile, Status, Timings, Usage, Validity,
    ValidityReason,
};
pub use path::{GuestPath, HostPath};
pub use policy::{During, Policy, UnenforcedLimits, UnseenPosture, Unwatched, Users};
pub use queue::{
    CancelledTask, DeadTask, Enqueued, Flow, GivenBack, Lease, LeaseKey, LeaseRequest, LeaseState, LeaseToken,
    Priority, Queue, QueueStatistics, Task, TaskCounts,
};
pub use report::{ReportContext, ReportNode, UserKind, overall, rfc3339};
pub use review::{HeldEvaluation, HeldList, HeldRecord, HeldState, HeldSummary, ReviewClaim, ReviewStore};
pub use scan::{Finding, Import, Region, ScanFile, ScanReport, Scanner, Severity, Unread};
pub use spec::{EvaluationSpec, InputFile, Program};
pub use store::{
    Cancellation, CancelledEvaluation, Change, Created, Decided, Document, EvaluationState, EvaluationSummary,
    FencingToken, FinalState, Indexed, ListOrder, NewEvaluation, Page, ProjectUse, Query, Started, Step, Store,
    StoredEvaluation, Unfinished,
};
pub use suggest::nearest;
pub use tenancy::{KeyHash, KeyRecord, KeyStore, ProjectId, ProjectStore, Quotas, Role};
pub use tripwire::{
    TouchKind, TouchRecord, Touched, Tripwire, TripwireKind, TripwireRecord, TripwireWatch, WatchedPlace,
};
pub use units::{ByteSize, CpuCount, TimeSpan};
pub use webhook::{WEBHOOK_KINDS, Webhook, WebhookProgress, WebhookSecret, WebhookState, WebhookStore};
