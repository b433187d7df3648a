//! What a project may have, and what the service can carry.

use crate::bench::{Bench, Plan, spec, submission};
use crucible_core::{ErrorKind, ProjectId, Quotas};
use crucible_testkit::fake::{Script, Step};

fn endless() -> Script {
    Script::of([Step::WaitForever])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_the_service_is_refused_whole() {
    let bench = Bench::new(Plan::of(endless()).with(|settings| settings.most_queued = 3)).await;
    let many = |count: usize| (0..count).map(|_| submission(spec())).collect::<Vec<_>>();
    let project = ProjectId::default();
    let submit = |count| bench.service.submit_all(&project, Quotas::default(), many(count));
    assert_eq!(submit(4).await.unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(submit(3).await.unwrap().len(), 3);
    let refused = submit(1).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Overloaded && refused.hint().is_some(), "{refused}");
    assert_eq!(submit(1001).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(bench.queue.statistics().await.unwrap().all.waiting, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_has_as_many_waiting_and_in_a_day_as_it_may_and_others_do_not_feel_it() {
    let bench = Bench::new(Plan::of(endless())).await;
    let (red, blue): (ProjectId, ProjectId) = ("red".parse().unwrap(), "blue".parse().unwrap());
    let few = Quotas { most_queued: Some(2), ..Quotas::default() };
    let submit = |project: ProjectId, quotas| {
        let service = &bench.service;
        async move { service.submit(&project, quotas, submission(spec())).await }
    };
    let first = submit(red.clone(), few).await.unwrap().id();
    submit(red.clone(), few).await.unwrap();
    let refused = submit(red.clone(), few).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Overloaded && refused.to_string().contains("'red'"), "{refused}");
    submit(blue.clone(), few).await.unwrap();
    bench.service.cancel(None, first).await.unwrap();
    submit(red.clone(), few).await.unwrap();
    // What was cancelled counts for the day.
    let daily = Quotas { most_per_day: Some(3), ..Quotas::default() };
    assert_eq!(submit(red, daily).await.unwrap_err().kind(), ErrorKind::Overloaded);
    submit(blue, daily).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_ask_at_one_time_get_no_more_than_one_after_the_other() {
    let bench = Bench::new(Plan::of(endless())).await;
    let quotas = Quotas { most_queued: Some(5), ..Quotas::default() };
    let submissions = (0..40).map(|_| {
        let service = std::sync::Arc::clone(&bench.service);
        tokio::spawn(async move { service.submit(&ProjectId::default(), quotas, submission(spec())).await.is_ok() })
    });
    let mut accepted = 0;
    for one in submissions.collect::<Vec<_>>() {
        accepted += u32::from(one.await.unwrap());
    }
    assert_eq!(accepted, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_has_no_more_running_than_it_may() {
    let bench = Bench::running(Plan::of(endless()).with(|settings| settings.most_running = 4)).await;
    let (red, blue): (ProjectId, ProjectId) = ("red".parse().unwrap(), "blue".parse().unwrap());
    let one = Quotas { most_running: Some(1), ..Quotas::default() };
    let many = |count: usize| (0..count).map(|_| submission(spec())).collect::<Vec<_>>();
    bench.service.submit_all(&red, one, many(3)).await.unwrap();
    bench.service.submit_all(&blue, Quotas::default(), many(2)).await.unwrap();
    bench.until_commands(3).await;
    let counts = bench.queue.statistics().await.unwrap().projects;
    assert_eq!((counts[&red].leased, counts[&red].waiting, counts[&blue].leased), (1, 2, 2));
    // A quota that is lifted holds nobody up any more.
    bench.service.bound_running(&red, Quotas::default()).await.unwrap();
    bench
        .until("another one of them runs", || async {
            bench.queue.statistics().await.unwrap().projects[&red].leased == 2
        })
        .await;
}
