//! Addresses are told in order, again after a failure, and as far as the store says.

use crate::bench::PATIENCE;
use async_trait::async_trait;
use crucible_core::{
    Change, EvaluationId, FinalState, GlobalNumber, HostPath, NewEvent, ProjectId, Started, Store as _, StoredEvent,
    Webhook, WebhookId, WebhookProgress, WebhookSecret, WebhookState, WebhookStore as _,
};
use crucible_engine::{Brought, Courier, Webhooks};
use crucible_state::memory::MemoryBus;
use crucible_state::sqlite::{SqliteFolder, SqliteStore};
use crucible_testkit::keeping::evaluation;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Notes what it brings, and answers as it was told to.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Brought>>,
    brought: Mutex<Vec<(String, EvaluationId, String)>>,
}

#[async_trait]
impl Courier for Scripted {
    async fn bring(&self, webhook: &Webhook, event: &StoredEvent) -> Brought {
        self.brought.lock().unwrap().push((webhook.url.clone(), event.evaluation, event.kind.to_string()));
        self.answers.lock().unwrap().pop_front().unwrap_or(Brought::Delivered)
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
    courier: Arc<Scripted>,
    webhooks: Arc<Webhooks>,
    stop: CancellationToken,
    telling: JoinHandle<()>,
}

fn failed(wait: Option<Duration>) -> Brought {
    Brought::Failed { why: "it answered 500".to_owned(), wait }
}

fn told(kind: &'static str) -> NewEvent {
    NewEvent { at: SystemTime::now(), kind: kind.into(), body: "{}".into() }
}

impl Bench {
    fn new(waits: &[Duration], answers: impl IntoIterator<Item = Brought>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = SqliteFolder::open(&HostPath::new(folder.path().join("store"))).unwrap();
        let bus = Arc::new(MemoryBus::default());
        let store = Arc::new(SqliteStore::new(&opened, Arc::clone(&bus) as _));
        let courier = Arc::new(Scripted { answers: Mutex::new(answers.into_iter().collect()), ..Scripted::default() });
        let webhooks = Webhooks::new(Arc::clone(&store) as _, bus, Arc::clone(&courier) as _);
        let webhooks = Arc::new(webhooks.with_waits(waits.to_vec()));
        let stop = CancellationToken::new();
        let telling = tokio::spawn(Arc::clone(&webhooks).deliver(stop.clone()));
        Self { _folder: folder, store, courier, webhooks, stop, telling }
    }

    async fn hook(&self, url: &str, project: &str, kinds: &[&str]) -> WebhookId {
        let cursor = self.store.latest_event().await.unwrap();
        let webhook = Webhook {
            id: WebhookId::generate(),
            project: project.parse().unwrap(),
            url: url.to_owned(),
            secret: WebhookSecret(vec![7; 32]),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            created: SystemTime::now(),
            state: WebhookState::On,
            progress: WebhookProgress { cursor, ..WebhookProgress::default() },
        };
        let id = webhook.id;
        self.store.add_webhook(webhook).await.unwrap();
        self.webhooks.look_again();
        id
    }

    /// Brings an evaluation to its end.
    async fn end(&self, project: &str, kind: &'static str) -> EvaluationId {
        let mut new = evaluation();
        let id = new.spec.id;
        new.project = project.parse().unwrap();
        self.store.create(vec![new]).await.unwrap();
        let change = |kind| Change { events: vec![told(kind)], ..Change::at(SystemTime::now()) };
        let started = self.store.start(id, "node".to_owned(), change("started")).await.unwrap();
        let token = match started {
            Started::Started { token, .. } => Some(token),
            _ => None,
        };
        let token = token.unwrap();
        self.store.finish(id, token, FinalState::Finished, change(kind)).await.unwrap();
        id
    }

    fn brought(&self) -> Vec<(String, EvaluationId, String)> {
        self.courier.brought.lock().unwrap().clone()
    }

    async fn until(&self, id: WebhookId, what: &str, holds: impl Fn(&Webhook) -> bool) -> Webhook {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let all = self.store.webhooks(None).await.unwrap();
            let webhook = all.into_iter().find(|webhook| webhook.id == id).unwrap();
            if holds(&webhook) {
                return webhook;
            }
            assert!(tokio::time::Instant::now() < deadline, "never {what}: {webhook:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn finish(self) {
        self.stop.cancel();
        self.telling.await.unwrap();
    }
}

#[tokio::test]
async fn each_address_is_told_of_its_projects_ends_in_order_and_of_the_kinds_that_it_wants() {
    let bench = Bench::new(&[], []);
    let before = bench.end("red", "finished").await;
    let all = bench.hook("https://all", "red", &[]).await;
    let dead = bench.hook("https://dead", "red", &["dead"]).await;
    let other = bench.hook("https://other", "blue", &[]).await;
    let ids = [bench.end("red", "finished").await, bench.end("red", "dead").await, bench.end("red", "failed").await];
    bench.until(all, "told three", |webhook| webhook.progress.delivered == 3).await;
    bench.until(dead, "told one", |webhook| webhook.progress.delivered == 1).await;
    let brought = bench.brought();
    let of = |url: &str| -> Vec<_> { brought.iter().filter(|one| one.0 == url).map(|one| one.1).collect() };
    assert_eq!((of("https://all"), of("https://dead"), of("https://other")), (ids.to_vec(), vec![ids[1]], vec![]));
    assert!(!of("https://all").contains(&before));
    let untold = bench.until(other, "there", |_| true).await.progress;
    assert_eq!((untold.delivered, untold.last_delivered), (0, None));
    bench.finish().await;
}

#[tokio::test]
async fn what_fails_is_tried_again_and_holds_up_what_comes_after_it_and_no_other_address() {
    let bench = Bench::new(&[Duration::from_millis(1); 3], [failed(None), failed(None)]);
    let id = bench.hook("https://one", "red", &[]).await;
    let (first, second) = (bench.end("red", "finished").await, bench.end("red", "finished").await);
    let webhook = bench.until(id, "told both", |webhook| webhook.progress.delivered == 2).await;
    let order: Vec<_> = bench.brought().into_iter().map(|one| one.1).collect();
    assert_eq!(order, [first, first, first, second]);
    assert_eq!((webhook.progress.failures, webhook.progress.last_error), (0, None));
    bench.finish().await;
}

#[tokio::test]
async fn what_fails_to_the_last_is_given_up_and_three_in_a_row_break_the_webhook() {
    let bench = Bench::new(&[Duration::from_millis(1)], std::iter::repeat_with(|| failed(None)).take(6));
    let id = bench.hook("https://one", "red", &[]).await;
    for _ in 0..4 {
        bench.end("red", "finished").await;
    }
    let webhook = bench.until(id, "broken", |webhook| webhook.state == WebhookState::Broken).await;
    assert_eq!((webhook.progress.given_up, bench.brought().len()), (3, 6));
    assert_eq!(webhook.progress.last_error.as_deref(), Some("it answered 500"));
    // Somebody mends it and switches it on: the fourth was never given up.
    bench.store.set_webhook(None, id, WebhookState::On).await.unwrap();
    bench.webhooks.look_again();
    bench.until(id, "told again", |webhook| webhook.progress.delivered == 1).await;
    bench.finish().await;
}

#[tokio::test]
async fn an_address_that_is_gone_or_wants_time_is_left_alone() {
    let bench = Bench::new(&[Duration::from_millis(1)], [failed(Some(Duration::from_secs(3600))), Brought::Gone]);
    let id = bench.hook("https://one", "red", &[]).await;
    bench.end("red", "finished").await;
    let waits = bench.until(id, "waiting", |webhook| webhook.progress.next_try.is_some()).await;
    let next = waits.progress.next_try.unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(next > Duration::from_secs(3000), "{next:?}");
    bench.store.set_webhook(None, id, WebhookState::On).await.unwrap();
    bench.webhooks.look_again();
    let gone = bench.until(id, "broken", |webhook| webhook.state == WebhookState::Broken).await;
    assert!(gone.progress.last_error.unwrap().contains("410"));
    bench.finish().await;
}

#[tokio::test]
async fn what_happened_while_nobody_told_is_told_by_the_next_one() {
    // It may be added while the first one looks whether there is any.
    for _ in 0..10 {
        let bench = Bench::new(&[], []);
        let id = bench.hook("https://one", "red", &[]).await;
        let Bench { _folder, store, courier, webhooks, stop, telling } = bench;
        stop.cancel();
        telling.await.unwrap();
        let stop = CancellationToken::new();
        let idle = Bench { _folder, store, courier, webhooks, stop, telling: tokio::spawn(async {}) };
        let missed = idle.end("red", "finished").await;
        let telling = tokio::spawn(Arc::clone(&idle.webhooks).deliver(idle.stop.clone()));
        idle.until(id, "told", |webhook| webhook.progress.delivered == 1).await;
        assert_eq!(idle.brought().iter().map(|one| one.1).collect::<Vec<_>>(), [missed]);
        idle.stop.cancel();
        telling.await.unwrap();
        idle.finish().await;
    }
}

#[tokio::test]
async fn a_project_has_few_and_sees_no_others() {
    let bench = Bench::new(&[], []);
    let (red, blue): (ProjectId, ProjectId) = ("red".parse().unwrap(), "blue".parse().unwrap());
    let id = bench.hook("https://one", "red", &[]).await;
    for _ in 1..20 {
        bench.hook("https://more", "red", &[]).await;
    }
    let more = Webhook { id: WebhookId::generate(), ..bench.until(id, "there", |_| true).await };
    let error = bench.store.add_webhook(more).await.unwrap_err();
    assert_eq!(error.kind(), crucible_core::ErrorKind::Overloaded);
    assert!(bench.store.webhooks(Some(&blue)).await.unwrap().is_empty());
    for refused in [
        bench.store.set_webhook(Some(&blue), id, WebhookState::Off).await.map(drop),
        bench.store.remove_webhook(Some(&blue), id).await,
    ] {
        assert_eq!(refused.unwrap_err().kind(), crucible_core::ErrorKind::NotFound);
    }
    // Switched off while something is on its way, it stays off.
    bench.store.set_webhook(Some(&red), id, WebhookState::Off).await.unwrap();
    let progress = WebhookProgress { cursor: GlobalNumber(5), delivered: 1, ..WebhookProgress::default() };
    bench.store.note_webhook(id, WebhookState::On, progress).await.unwrap();
    let noted = bench.until(id, "noted", |webhook| webhook.progress.delivered == 1).await;
    assert_eq!(noted.state, WebhookState::Off);
    bench.store.remove_webhook(Some(&red), id).await.unwrap();
    assert!(bench.store.note_webhook(id, WebhookState::On, WebhookProgress::default()).await.is_ok());
    bench.finish().await;
}
