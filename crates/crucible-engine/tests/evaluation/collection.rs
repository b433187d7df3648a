//! What is brought out of a sandbox, and what isn't: everything in it was made by the guest.

use crate::support::{Bench, spec};
use crucible_core::{ByteSize, EvaluationSpec, GuestPath, Limits, Outcome};
use crucible_testkit::fake::{FakeFile, Script};

fn regular(size: usize) -> FakeFile {
    FakeFile::Regular(vec![b'x'; size])
}

async fn collected(script: Script, paths: &[&str]) -> Outcome {
    let limits = Limits { file_size: ByteSize::bytes(1000), disk: ByteSize::bytes(64 << 10), ..Limits::default() };
    let collect = paths.iter().map(|path| GuestPath::parse(path).unwrap()).collect();
    Bench::new(script).evaluate(EvaluationSpec { collect, limits, ..spec() }).await.unwrap()
}

fn paths(outcome: &Outcome) -> Vec<&str> {
    outcome.files.iter().map(|file| file.path.as_str()).collect()
}

fn refusals(outcome: &Outcome) -> Vec<(&str, &str)> {
    outcome.files_refused.iter().map(|file| (file.path.as_str(), file.reason.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn files_and_folders_are_brought_out_once_each_with_all_below() {
    let script = Script::default()
        .with_file("/work/out/a", regular(3))
        .with_file("/work/out/deep/er/b", regular(4))
        .with_file("/work/out/empty", FakeFile::Directory)
        .with_file("/tmp/c", regular(0))
        .with_file("/work/not asked for", regular(1));
    let outcome = collected(script, &["out/a", "out", "/tmp/c"]).await;
    assert_eq!(paths(&outcome), ["/work/out/a", "/work/out/deep/er/b", "/tmp/c"]);
    assert_eq!((outcome.files[1].content.as_slice(), outcome.files_refused.len()), (&b"xxxx"[..], 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_or_no_regular_file_is_refused_with_the_reason() {
    let script = Script::default()
        .with_file("/work/pipe", FakeFile::Other)
        .with_file("/work/d/link", FakeFile::Other)
        .with_file("/work/d/good", regular(1));
    let outcome = collected(script, &["missing", "pipe", "d"]).await;
    assert_eq!(paths(&outcome), ["/work/d/good"]);
    let refused = refusals(&outcome);
    assert_eq!(
        refused.iter().map(|(path, _)| *path).collect::<Vec<_>>(),
        ["/work/missing", "/work/pipe", "/work/d/link"]
    );
    assert!(refused.iter().all(|(_, reason)| !reason.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn names_that_could_deceive_are_refused_and_shown_escaped() {
    let script = Script::default()
        .with_file(b"/work/d/\xff\xfe".to_vec(), regular(1))
        .with_file("/work/d/\u{1b}[2J", regular(1))
        .with_file("/work/d/line\nbreak", regular(1))
        .with_file("/work/d/..", regular(1))
        .with_file("/work/d/ü", regular(1));
    let outcome = collected(script, &["d"]).await;
    assert_eq!(paths(&outcome), ["/work/d/ü"]);
    let refused: Vec<_> = refusals(&outcome).into_iter().map(|(path, _)| path).collect();
    assert_eq!(refused, ["/work/d/\\x1b[2J", "/work/d/..", "/work/d/line\\nbreak", "/work/d/\\xff\\xfe"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_too_large_or_grows_while_it_is_read_is_refused() {
    let script = Script::default()
        .with_file("/work/exact", regular(1000))
        .with_file("/work/large", regular(1001))
        .with_file("/work/grows", FakeFile::Growing { claimed: 10 });
    let outcome = collected(script, &["exact", "large", "grows"]).await;
    assert_eq!(paths(&outcome), ["/work/exact"]);
    let refused = refusals(&outcome);
    assert!(refused[0].1.contains("larger than the limit of 1000B"), "{refused:?}");
    assert!(refused[1].1.contains("grew"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn all_files_together_are_bounded_by_the_disk_limit() {
    let script =
        (0..100).fold(Script::default(), |script, n| script.with_file(format!("/work/d/{n:03}"), regular(1000)));
    let outcome = collected(script, &["d"]).await;
    assert_eq!((outcome.files.len(), outcome.files_refused.len()), (65, 35));
    assert!(outcome.files_refused[0].reason.contains("disk limit of 64KiB"), "{}", outcome.files_refused[0].reason);
}

#[tokio::test(start_paused = true)]
async fn depth_and_number_of_files_are_bounded() {
    let deep = format!("/work/d{}", "/x".repeat(100));
    let outcome = collected(Script::default().with_file(deep, regular(1)), &["d"]).await;
    assert_eq!((outcome.files.len(), outcome.files_refused.len()), (0, 1));
    assert!(outcome.files_refused[0].reason.contains("deeper"));
    let many = (0..4200).fold(Script::default(), |script, n| script.with_file(format!("/work/d/{n}"), regular(0)));
    let outcome = collected(many, &["d"]).await;
    assert_eq!((outcome.files.len(), outcome.files_refused.len()), (4096, 1));
    let many = (0..4200).fold(Script::default(), |script, n| script.with_file(format!("/work/d/{n}"), FakeFile::Other));
    let outcome = collected(many, &["d"]).await;
    assert_eq!((outcome.files.len(), outcome.files_refused.len()), (0, 4097));
}
