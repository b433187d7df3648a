//! What every store must do.

use super::samples::{evaluation, event, moment};
use super::{Case, holds, is, note, told};
use bytes::Bytes;
use crucible_core::{
    CancelledEvaluation, Change, Created, Decided, Document, EvaluationId, EvaluationState, FencingToken, FinalState,
    GlobalNumber, Indexed, ListOrder, NewEvaluation, ProjectId, Query, Review, ReviewDecision, Started, Step, Store,
};
use std::time::Duration;

fn document(bytes: usize) -> Document {
    let body: Vec<u8> = (0..bytes).map(|place| u8::try_from(place % 251).unwrap_or(0)).collect();
    Document { format: "suite.v1".to_owned(), body: Bytes::from(body) }
}

fn change(kind: &'static str) -> Change {
    Change { events: vec![event(kind)], ..Change::at(moment()) }
}

async fn add(store: &dyn Store, new: NewEvaluation) -> Result<EvaluationId, String> {
    let id = new.spec.id;
    is("what became of it", store.create(vec![new]).await.map_err(told)?, vec![Created::New])?;
    Ok(id)
}

async fn start(store: &dyn Store, id: EvaluationId) -> Result<FencingToken, String> {
    match store.start(id, "node-1".to_owned(), change("started")).await.map_err(told)? {
        Started::Started { token, .. } => Ok(token),
        other => Err(format!("it was not started: {other:?}")),
    }
}

async fn state(store: &dyn Store, id: EvaluationId) -> Result<EvaluationState, String> {
    Ok(store.get(None, id).await.map_err(told)?.summary.state)
}

async fn kinds(store: &dyn Store, id: EvaluationId) -> Result<Vec<String>, String> {
    let events = store.events(None, id, 0, 100).await.map_err(told)?;
    let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
    is("the numbers", numbers, (1..=u64::try_from(events.len()).unwrap_or(0)).collect())?;
    Ok(events.iter().map(|event| event.kind.to_string()).collect())
}

async fn one_goes_its_way(store: &dyn Store) -> Case {
    let new = evaluation();
    let spec = new.spec.clone();
    let id = add(store, new).await?;
    is("the specification", store.specification(None, id).await.map_err(told)?, spec)?;
    let before = store.get(None, id).await.map_err(told)?.summary;
    is("the first state", before.state, EvaluationState::Queued)?;
    let token = start(store, id).await?;
    is("events of the run", store.append(id, token, vec![event("output")]).await.map_err(told)?, Step::Committed)?;
    let indexed = Indexed { backend: Some("jail".to_owned()), status: Some("exited".to_owned()), ..Indexed::default() };
    let large = document(200_000);
    let end = Change {
        indexed: indexed.clone(),
        outcome: Some(large.clone()),
        admission: Some(document(10)),
        ..change("finished")
    };
    let step = store.finish(id, token, FinalState::Finished, end).await.map_err(told)?;
    is("the end", step, Step::Committed)?;
    let stored = store.get(None, id).await.map_err(told)?;
    is("the last state", stored.summary.state, EvaluationState::Finished)?;
    is("its index", stored.summary.indexed, indexed)?;
    is("its outcome", stored.outcome, Some(large))?;
    is("its admission", stored.admission, Some(document(10)))?;
    is("its failure", stored.failure, None)?;
    is("its times", (stored.summary.created, stored.summary.finished), (moment(), Some(moment())))?;
    is("its node and attempt", (stored.summary.node.as_deref(), stored.summary.attempt), (Some("node-1"), 1))?;
    holds("its version grew", stored.summary.version > before.version)?;
    is("its events", kinds(store, id).await?, ["queued", "started", "output", "finished"].map(str::to_owned).to_vec())
}

async fn the_latest_token_counts(store: &dyn Store) -> Case {
    let id = add(store, evaluation()).await?;
    let first = start(store, id).await?;
    let second = start(store, id).await?;
    holds("the tokens grow", second > first)?;
    let late = store.finish(id, first, FinalState::Finished, change("late")).await.map_err(told)?;
    is("the end of the first", late, Step::Stale)?;
    is("events of the first", store.append(id, first, vec![event("late")]).await.map_err(told)?, Step::Stale)?;
    is("the return of the first", store.requeue(id, first, change("late")).await.map_err(told)?, Step::Stale)?;
    let end = store.finish(id, second, FinalState::Failed, change("failed")).await.map_err(told)?;
    is("the end of the second", end, Step::Committed)?;
    let twice = store.finish(id, second, FinalState::Finished, change("late")).await.map_err(told)?;
    is("the end of the second again", twice, Step::Stale)?;
    let refused = store.start(id, String::new(), change("late")).await.map_err(told)?;
    is("another start", refused, Started::Refused(EvaluationState::Failed))?;
    let cancelled = store.cancel(None, id, change("late")).await.map_err(told)?;
    is("a late cancellation", cancelled, CancelledEvaluation::AlreadyFinal(EvaluationState::Failed))?;
    let expected = ["queued", "started", "started", "failed"].map(str::to_owned).to_vec();
    is("its events", kinds(store, id).await?, expected)
}

async fn a_run_can_be_made_again(store: &dyn Store) -> Case {
    let id = add(store, evaluation()).await?;
    let first = start(store, id).await?;
    let back = Change { failure: Some(document(3)), ..change("requeued") };
    is("the return", store.requeue(id, first, back).await.map_err(told)?, Step::Committed)?;
    is("the state", state(store, id).await?, EvaluationState::Queued)?;
    let late = store.finish(id, first, FinalState::Finished, change("late")).await.map_err(told)?;
    is("the end of what was given back", late, Step::Stale)?;
    let again = store.start(id, "node-2".to_owned(), change("started")).await.map_err(told)?;
    holds("the second attempt", matches!(again, Started::Started { attempt: 2, token } if token > first))?;
    is("its failure", store.get(None, id).await.map_err(told)?.failure, Some(document(3)))
}

async fn a_key_gives_one(store: &dyn Store) -> Case {
    let key = Some("the same".to_owned());
    let first = NewEvaluation { idempotency_key: key.clone(), ..evaluation() };
    let id = first.spec.id;
    let mut again = first.clone();
    again.spec.id = EvaluationId::generate();
    let mut differs = first.clone();
    differs.spec.id = EvaluationId::generate();
    differs.spec.stdin = b"more".to_vec();
    let mut elsewhere = differs.clone();
    elsewhere.spec.id = EvaluationId::generate();
    elsewhere.project = "elsewhere".parse().map_err(told)?;
    let created = store.create(vec![first, again, differs, elsewhere]).await.map_err(told)?;
    let expected = vec![Created::New, Created::Existing(id), Created::Conflict(id), Created::New];
    is("what became of them", created, expected)
}

async fn of_others_nothing_is_there(store: &dyn Store) -> Case {
    let id = add(store, evaluation()).await?;
    let stranger: ProjectId = "stranger".parse().map_err(told)?;
    let stranger = Some(&stranger);
    holds("get", store.get(stranger, id).await.is_err())?;
    holds("specification", store.specification(stranger, id).await.is_err())?;
    holds("events", store.events(stranger, id, 0, 10).await.is_err())?;
    holds("cancel", store.cancel(stranger, id, change("cancelled")).await.is_err())?;
    is("the firehose", store.firehose(stranger, GlobalNumber(0), 10).await.map_err(told)?, vec![])?;
    let page = store.list(Query { project: stranger.cloned(), limit: 10, ..Query::default() }).await.map_err(told)?;
    is("the list", page.items, vec![])?;
    is("its state", state(store, id).await?, EvaluationState::Queued)
}

fn review(decision: ReviewDecision) -> Review {
    let at = std::time::UNIX_EPOCH + Duration::from_millis(1_800_000_000_000);
    Review { decision, by: "ann".to_owned(), reason: "looked at it".to_owned(), at }
}

async fn a_person_decides_once(store: &dyn Store) -> Case {
    for (decision, expected) in
        [(ReviewDecision::Approved, EvaluationState::Queued), (ReviewDecision::Rejected, EvaluationState::Finished)]
    {
        let id = add(store, evaluation()).await?;
        let early = store.decide(None, id, review(decision), change("reviewed")).await.map_err(told)?;
        is("a decision before", early, Decided::NotHeld(EvaluationState::Queued))?;
        let token = start(store, id).await?;
        let held = Change { admission: Some(document(5)), ..change("held") };
        is("the hold", store.hold(id, token, held).await.map_err(told)?, Step::Committed)?;
        is("the state then", state(store, id).await?, EvaluationState::Held)?;
        let refused = store.start(id, String::new(), change("late")).await.map_err(told)?;
        is("a start while it is held", refused, Started::Refused(EvaluationState::Held))?;
        let (one, other) = tokio::join!(
            store.decide(None, id, review(decision), change("reviewed")),
            store.decide(None, id, review(decision), change("reviewed"))
        );
        let decided = [one.map_err(told)?, other.map_err(told)?];
        is("the first decision", decided[0], Decided::Committed(expected))?;
        is("the second decision", decided[1], Decided::NotHeld(expected))?;
        let spec = store.specification(None, id).await.map_err(told)?;
        is("the review in the specification", spec.review, Some(review(decision)))?;
        is("the review", store.get(None, id).await.map_err(told)?.review, Some(review(decision)))?;
    }
    Ok(())
}

async fn a_cancellation_reaches_the_runner(store: &dyn Store) -> Case {
    let waiting = add(store, evaluation()).await?;
    let cancelled = store.cancel(None, waiting, change("cancelled")).await.map_err(told)?;
    is("of a waiting one", cancelled, CancelledEvaluation::Cancelled)?;
    let refused = store.start(waiting, String::new(), change("late")).await.map_err(told)?;
    is("its start", refused, Started::Refused(EvaluationState::Cancelled))?;
    let running = add(store, evaluation()).await?;
    let token = start(store, running).await?;
    for _ in 0..2 {
        let cancelled = store.cancel(None, running, change("cancelled")).await.map_err(told)?;
        is("of a running one", cancelled, CancelledEvaluation::Requested)?;
    }
    let back = store.requeue(running, token, change("requeued")).await.map_err(told)?;
    is("its return", back, Step::CancelRequested)?;
    let again = store.start(running, String::new(), change("late")).await.map_err(told)?;
    let Started::CancelRequested { token: latest } = again else { return Err(format!("its start: {again:?}")) };
    let late = store.finish(running, token, FinalState::Finished, change("late")).await.map_err(told)?;
    is("the end of the runner that was lost", late, Step::Stale)?;
    let end = store.finish(running, latest, FinalState::Cancelled, change("cancelled")).await.map_err(told)?;
    is("its end", end, Step::Committed)?;
    let expected = ["queued", "started", "cancelled"].map(str::to_owned).to_vec();
    is("its events", kinds(store, running).await?, expected)
}

async fn a_list_has_what_was_asked_for(store: &dyn Store) -> Case {
    let mut ids = Vec::new();
    for number in 0..7_u64 {
        let mut new = evaluation();
        new.labels.insert("suite".to_owned(), if number < 3 { "small" } else { "large" }.to_owned());
        new.at += Duration::from_secs(number);
        ids.push(add(store, new).await?);
    }
    let token = start(store, ids[4]).await?;
    let indexed = Indexed { verdict: Some("deny".to_owned()), status: Some("denied".to_owned()), ..Indexed::default() };
    let end = Change { indexed, ..change("finished") };
    store.finish(ids[4], token, FinalState::Finished, end).await.map_err(told)?;
    let list = async |query: Query| -> Result<Vec<EvaluationId>, String> {
        let page = store.list(Query { limit: 100, ..query }).await.map_err(told)?;
        Ok(page.items.iter().map(|item| item.id).collect())
    };
    let newest_first = |range: std::ops::Range<usize>| ids[range].iter().rev().copied().collect::<Vec<_>>();
    is("all", list(Query::default()).await?, newest_first(0..7))?;
    let label = Some(("suite".to_owned(), "small".to_owned()));
    is("a label", list(Query { label, ..Query::default() }).await?, newest_first(0..3))?;
    let finished = Some(EvaluationState::Finished);
    is("a state", list(Query { state: finished, ..Query::default() }).await?, newest_first(4..5))?;
    let verdict = Some("deny".to_owned());
    is("a verdict", list(Query { verdict, ..Query::default() }).await?, newest_first(4..5))?;
    let status = Some("denied".to_owned());
    let project = Some(ProjectId::default());
    is("a status", list(Query { status, project, ..Query::default() }).await?, newest_first(4..5))?;
    let time = |second| Some(moment() + Duration::from_secs(second));
    let between = Query { created_from: time(2), created_before: time(5), ..Query::default() };
    is("a time", list(between).await?, newest_first(2..5))?;
    let oldest = Query { order: ListOrder::Oldest, ..Query::default() };
    is("all, the oldest first", list(oldest).await?, ids.clone())?;
    let page = Query { limit: 4, order: ListOrder::Oldest, ..Query::default() };
    let next = store.list(page.clone()).await.map_err(told)?.next;
    let rest = Query { cursor: next.clone(), limit: 100, ..page };
    is("the rest, the oldest first", list(rest).await?, ids[4..].to_vec())?;
    let other_way = store.list(Query { cursor: next, limit: 1, ..Query::default() }).await;
    holds("a cursor of the other order", other_way.is_err())?;
    let search = |text: &str| Query { search: Some(text.to_owned()), ..Query::default() };
    is("a piece of a label's value", list(search("SMA")).await?, newest_first(0..3))?;
    is("a piece of a label's name", list(search("uit")).await?, newest_first(0..7))?;
    is("what no label has", list(search("suite\":\"small")).await?, vec![])?;
    is("a piece of an id", list(search(&ids[5].to_string()[20..])).await?, vec![ids[5]])?;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list(Query { limit: 3, cursor, ..Query::default() }).await.map_err(told)?;
        seen.extend(page.items.iter().map(|item| item.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    is("all in pages", seen, newest_first(0..7))?;
    holds(
        "a cursor of somebody else's",
        store.list(Query { cursor: Some("x".into()), ..Query::default() }).await.is_err(),
    )
}

async fn what_is_unfinished_is_told(store: &dyn Store) -> Case {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(add(store, evaluation()).await?);
    }
    let token = start(store, ids[1]).await?;
    store.finish(ids[1], token, FinalState::Dead, change("dead")).await.map_err(told)?;
    start(store, ids[2]).await?;
    let first = store.unfinished(None, 2).await.map_err(told)?;
    let rest = store.unfinished(first.last().map(|last| last.id), 100).await.map_err(told)?;
    let seen: Vec<_> = first.iter().chain(&rest).map(|one| (one.id, one.state)).collect();
    let (queued, running) = (EvaluationState::Queued, EvaluationState::Running);
    is("those", seen, vec![(ids[0], queued), (ids[2], running), (ids[3], queued), (ids[4], queued)])?;
    let used = store.project_use(&ProjectId::default(), moment()).await.map_err(told)?;
    is("what the project has", (used.queued, used.running, used.created), (3, 1, 5))
}

async fn the_firehose_has_all_in_order(store: &dyn Store) -> Case {
    let first = store.latest_event().await.map_err(told)?;
    for _ in 0..4 {
        add(store, evaluation()).await?;
    }
    let project = ProjectId::default();
    let events = store.firehose(Some(&project), first, 3).await.map_err(told)?;
    is("how many came", events.len(), 3)?;
    let rest = store.firehose(None, events[2].global, 100).await.map_err(told)?;
    is("how many came then", rest.len(), 1)?;
    let numbers: Vec<GlobalNumber> = events.iter().chain(&rest).map(|event| event.global).collect();
    holds("the order", numbers.is_sorted() && numbers[0] > first)?;
    is("the latest", store.latest_event().await.map_err(told)?, numbers[3])
}

/// What a store doesn't do as it should; empty where it does everything. Each case gets a new one from `make`.
pub async fn store_failures(make: impl AsyncFn() -> Box<dyn Store>) -> Vec<String> {
    let mut failures = Vec::new();
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {$(
            note(&mut failures, stringify!($case), $case(make().await.as_ref()).await);
        )*};
    }
    cases!(
        one_goes_its_way,
        the_latest_token_counts,
        a_run_can_be_made_again,
        a_key_gives_one,
        of_others_nothing_is_there,
        a_person_decides_once,
        a_cancellation_reaches_the_runner,
        a_list_has_what_was_asked_for,
        what_is_unfinished_is_told,
        the_firehose_has_all_in_order,
    );
    let tested = make().await.self_test().await;
    note(&mut failures, "tests_itself", is("its own test", tested.is_healthy(), true));
    failures
}
