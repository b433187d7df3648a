//! What becomes of copying where one side breaks off. Scripts are in the place of the agent's program; that it copies is the
//! conformance suite's matter.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod started;

use crucible_agent::host::{AgentClient, AgentError, Copying, Ended, Failure};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

struct Side {
    client: AgentClient,
    _process: Child,
}

async fn side() -> Side {
    let (process, input, output) = started::start();
    let client = timeout(LONG, AgentClient::connect(output, input, &["/"])).await.unwrap().unwrap();
    Side { client, _process: process }
}

struct Case {
    folder: TempDir,
    from: Side,
    into: Side,
}

impl Case {
    /// Both sides' scripts; they may say their number to `number` in their folder, and a failure by `say`.
    async fn new(save: &str, restore: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let failure = Failure { step: "write a file".to_owned(), errno: 28 };
        std::fs::write(folder.path().join("failure"), postcard::to_stdvec(&failure).unwrap()).unwrap();
        let script = format!(
            "#!/bin/sh\nPATH=/usr/bin:/bin\ncd {}\nsay() {{ cat failure >&2; exit 1; }}\ncase $1 in\nsave) {save};;\nrestore) {restore};;\nesac\n",
            folder.path().display()
        );
        let program = folder.path().join("program");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        Self { folder, from: side().await, into: side().await }
    }

    async fn copy(&self) -> Result<(), AgentError> {
        let program = self.folder.path().join("program");
        let copying = Copying { program: program.to_str().unwrap(), folders: &["/"], limits: &[] };
        copying.copy(&self.from.client, &self.into.client).await
    }

    async fn number(&self) -> u32 {
        let path = self.folder.path().join("number");
        loop {
            if let Some(number) = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()) {
                return number;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the process is gone, or waits to be collected.
    async fn until_gone(&self) {
        let stat = format!("/proc/{}/stat", self.number().await);
        let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        let gone = async {
            while lives() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, gone).await.unwrap();
    }
}

fn failed_in(result: Result<(), AgentError>) -> String {
    match result.unwrap_err() {
        AgentError::NotStarted(failure) => failure.step,
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn what_one_side_writes_the_other_reads() {
    let case = Case::new("head -c 3000000 /dev/zero", "test $(wc -c) = 3000000").await;
    timeout(LONG, case.copy()).await.unwrap().unwrap();
}

#[tokio::test]
async fn one_that_writes_is_not_waited_for_nor_left_behind_when_the_other_has_failed() {
    let case = Case::new("echo $$ > number; exec sleep 601", "say").await;
    assert_eq!(failed_in(timeout(LONG, case.copy()).await.unwrap()), "write a file");
    case.until_gone().await;
    // One that still writes finds its pipe broken, which is no reason.
    let case = Case::new("echo $$ > number; exec cat /dev/zero", "head -c 1000 >/dev/null; say").await;
    assert_eq!(failed_in(timeout(LONG, case.copy()).await.unwrap()), "write a file");
    case.until_gone().await;
}

#[tokio::test]
async fn the_reason_is_that_of_the_side_which_failed_first() {
    let case = Case::new("say", "cat >/dev/null; exit 3").await;
    assert_eq!(failed_in(timeout(LONG, case.copy()).await.unwrap()), "write a file");
    let case = Case::new("kill -9 $$", "cat >/dev/null; say").await;
    let error = timeout(LONG, case.copy()).await.unwrap().unwrap_err();
    assert!(matches!(error, AgentError::NotCopied(Ended::Signaled(9))), "{error:?}");
    let case = Case::new("echo rubbish >&2; exit 4", "cat >/dev/null; exit 5").await;
    let error = timeout(LONG, case.copy()).await.unwrap().unwrap_err();
    assert!(matches!(error, AgentError::NotCopied(Ended::Exited(4))), "{error:?}");
}

#[tokio::test]
async fn nothing_goes_on_where_it_was_given_up_or_an_agent_is_lost() {
    let case = Case::new("echo $$ > number; exec sleep 602", "exec cat >/dev/null").await;
    {
        let copy = case.copy();
        tokio::pin!(copy);
        tokio::select! {
            done = &mut copy => unreachable!("{done:?}"),
            _ = case.number() => {}
        }
    }
    case.until_gone().await;
    let case = Case::new("kill -9 $PPID; exec sleep 2", "cat >/dev/null; say").await;
    let error = timeout(LONG, case.copy()).await.unwrap().unwrap_err();
    assert!(matches!(error, AgentError::Lost(_)), "{error:?}");
}
