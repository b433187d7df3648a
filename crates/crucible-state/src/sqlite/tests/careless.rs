//! A store that is careless, and that its suite must find out.

use super::{open, store};
use crate::sqlite::SqliteStore;
use async_trait::async_trait;
use crucible_core::{
    CancelledEvaluation, Change, Component, Created, Decided, EvaluationId, EvaluationSpec, EvaluationSummary,
    FencingToken, FinalState, GlobalNumber, NewEvaluation, NewEvent, Page, ProjectId, ProjectUse, Query, Result,
    Review, SelfTest, Started, Step, Store, StoredEvaluation, StoredEvent, Unfinished,
};
use crucible_testkit::keeping::store_failures;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// It shows everybody everything, forgets keys, labels and outcomes, believes each step, and cancels what is running.
struct Careless(SqliteStore);

#[async_trait]
impl Component for Careless {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn self_test(&self) -> SelfTest {
        self.0.self_test().await
    }
}

#[async_trait]
impl Store for Careless {
    async fn create(&self, mut evaluations: Vec<NewEvaluation>) -> Result<Vec<Created>> {
        for evaluation in &mut evaluations {
            evaluation.idempotency_key = None;
            evaluation.labels.clear();
        }
        self.0.create(evaluations).await
    }

    async fn sync(&self) -> Result<()> {
        self.0.sync().await
    }

    async fn specification(&self, _project: Option<&ProjectId>, id: EvaluationId) -> Result<EvaluationSpec> {
        self.0.specification(None, id).await
    }

    async fn get(&self, _project: Option<&ProjectId>, id: EvaluationId) -> Result<StoredEvaluation> {
        let stored = self.0.get(None, id).await?;
        Ok(StoredEvaluation { outcome: None, ..stored })
    }

    async fn list(&self, query: Query) -> Result<Page<EvaluationSummary>> {
        self.0.list(Query { cursor: None, ..query }).await.map(|page| Page { next: None, ..page })
    }

    async fn unfinished(&self, _after: Option<EvaluationId>, most: usize) -> Result<Vec<Unfinished>> {
        self.0.unfinished(None, most).await
    }

    async fn project_use(&self, project: &ProjectId, since: SystemTime) -> Result<ProjectUse> {
        self.0.project_use(project, since).await
    }

    async fn start(&self, id: EvaluationId, node: String, change: Change) -> Result<Started> {
        self.0.start(id, node, change).await
    }

    async fn finish(&self, id: EvaluationId, token: FencingToken, state: FinalState, change: Change) -> Result<Step> {
        self.0.finish(id, token, state, change).await.map(|_| Step::Committed)
    }

    async fn requeue(&self, id: EvaluationId, token: FencingToken, change: Change) -> Result<Step> {
        self.0.requeue(id, token, Change { events: Vec::new(), ..change }).await.map(|_| Step::Committed)
    }

    async fn hold(&self, id: EvaluationId, token: FencingToken, change: Change) -> Result<Step> {
        self.0.hold(id, token, change).await
    }

    async fn decide(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        review: Review,
        change: Change,
    ) -> Result<Decided> {
        let decided = self.0.decide(project, id, review, change).await?;
        Ok(match decided {
            Decided::NotHeld(state) => Decided::Committed(state),
            committed @ Decided::Committed(_) => committed,
        })
    }

    async fn cancel(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        change: Change,
    ) -> Result<CancelledEvaluation> {
        self.0.cancel(project, id, change).await.map(|_| CancelledEvaluation::Cancelled)
    }

    async fn append(&self, id: EvaluationId, token: FencingToken, events: Vec<NewEvent>) -> Result<Step> {
        self.0.append(id, token, events).await
    }

    async fn events(
        &self,
        _project: Option<&ProjectId>,
        id: EvaluationId,
        after: u64,
        most: usize,
    ) -> Result<Vec<Arc<StoredEvent>>> {
        self.0.events(None, id, after, most).await
    }

    async fn firehose(
        &self,
        _project: Option<&ProjectId>,
        _after: GlobalNumber,
        most: usize,
    ) -> Result<Vec<Arc<StoredEvent>>> {
        self.0.firehose(None, GlobalNumber(0), most).await
    }

    async fn latest_event(&self) -> Result<GlobalNumber> {
        self.0.latest_event().await
    }
}

#[tokio::test]
async fn the_suite_of_stores_is_not_blind() {
    let folders = Mutex::new(Vec::new());
    let make = async || {
        let folder = tempfile::tempdir().unwrap();
        let store = Careless(store(&open(&folder)));
        folders.lock().unwrap().push(folder);
        Box::new(store) as Box<dyn Store>
    };
    let failures = store_failures(make).await;
    for case in [
        "one_goes_its_way",
        "the_latest_token_counts",
        "a_run_can_be_made_again",
        "a_key_gives_one",
        "of_others_nothing_is_there",
        "a_person_decides_once",
        "a_cancellation_reaches_the_runner",
        "a_list_has_what_was_asked_for",
        "what_is_unfinished_is_told",
        "the_firehose_has_all_in_order",
    ] {
        assert!(failures.iter().any(|failure| failure.starts_with(case)), "{case} isn't among {failures:#?}");
    }
}
