//! What is at the other end of the line is hostile: garbage, lengths, wrong versions, reports that nobody asked for.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use crucible_agent::host::{
    Abilities, AgentClient, AgentError, AgentLoss, Command, Connection, Door, Ended, EntryKind, Failure, Refusal,
};
use crucible_agent::protocol::frame::encode;
use crucible_agent::protocol::{
    Entry, MOST_CONNECTIONS, MOST_FROM_AGENT, OutputStream, PIECE, Report, WINDOW, preamble,
};
use proptest::prelude::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

/// The client's end, and a hostile agent's.
fn line() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(64 << 10)
}

async fn connect(ours: DuplexStream) -> Result<AgentClient, AgentError> {
    let (reader, writer) = tokio::io::split(ours);
    timeout(LONG, AgentClient::connect(reader, writer, &["/work"])).await.unwrap()
}

async fn send(theirs: &mut DuplexStream, report: &Report<'_>) {
    theirs.write_all(&encode(report, MOST_FROM_AGENT).unwrap()).await.unwrap();
}

/// A client that believes in its agent so far, and the agent's end of the line. What it asks for goes nowhere.
async fn begun() -> (AgentClient, DuplexStream) {
    let (ours, mut theirs) = line();
    theirs.write_all(&preamble::ours()).await.unwrap();
    send(&mut theirs, &Report::Ready(Abilities::default())).await;
    (connect(ours).await.unwrap(), theirs)
}

/// Why the client gives its agent up after these bytes.
async fn loss_after(client: &AgentClient, theirs: &mut DuplexStream, bytes: &[u8]) -> AgentLoss {
    // A line that nobody reads any more breaks, which is as good.
    let _ = theirs.write_all(bytes).await.is_ok();
    timeout(LONG, client.until_lost()).await.unwrap();
    client.loss().unwrap()
}

#[tokio::test]
async fn something_else_in_the_agents_place_is_told_with_what_it_said() {
    for (said, expected) in [
        (&b"exec /agent: exec format error\n"[..], "exec /agent: exe"),
        (b"short", "short"),
        (b"\x1b[31mred\x07bell-and-more", "[31mredbell-an"),
    ] {
        let (ours, mut theirs) = line();
        theirs.write_all(said).await.unwrap();
        drop(theirs);
        match connect(ours).await.err() {
            Some(AgentError::Stranger(text)) => assert_eq!(text, expected),
            other => assert!(other.is_none(), "{other:?}"),
        }
    }
}

#[tokio::test]
async fn another_version_and_an_early_end_are_told_apart() {
    let (ours, mut theirs) = line();
    let mut other = preamble::ours();
    other[14] = 200;
    theirs.write_all(&other).await.unwrap();
    assert!(matches!(connect(ours).await, Err(AgentError::OtherVersion(200))));
    let (ours, theirs) = line();
    drop(theirs);
    assert!(matches!(connect(ours).await, Err(AgentError::Lost(AgentLoss::Ended) | AgentError::Line(_))));
    let (ours, mut theirs) = line();
    theirs.write_all(&preamble::ours()).await.unwrap();
    drop(theirs);
    assert!(matches!(connect(ours).await, Err(AgentError::Lost(AgentLoss::Ended))));
}

#[tokio::test]
async fn a_length_of_four_gigabytes_breaks_the_word_and_ends_what_waits() {
    let (client, mut theirs) = begun().await;
    let asking = client.usage();
    let lying = loss_after(&client, &mut theirs, &[0xff; 64]);
    let (asked, lied) = tokio::join!(asking, lying);
    assert!(matches!(lied, AgentLoss::BrokeItsWord(ref why) if why.contains("4294967295")), "{lied:?}");
    assert!(matches!(asked, Err(AgentError::Lost(AgentLoss::BrokeItsWord(_)))));
    assert!(matches!(client.list("/work").await, Err(AgentError::Lost(AgentLoss::BrokeItsWord(_)))));
}

#[tokio::test]
async fn reports_that_nobody_asked_for_break_the_word() {
    let unasked = [
        Report::Ready(Abilities::default()),
        Report::Started { number: 1 },
        Report::NotStarted { number: 1, failure: Failure { step: "take a connection".to_owned(), errno: 22 } },
        Report::Output { number: 1, stream: OutputStream::Out, bytes: b"x" },
        Report::OutputEnd { number: 1, stream: OutputStream::Out },
        Report::InputCredit { number: 1, bytes: 1 },
        Report::InputClosed { number: 1 },
        Report::Ended { number: 1, status: Ended::Exited(0) },
        Report::Signalled { refused: None },
        Report::ProcessesEnded,
        Report::Written { number: 1, result: Ok(()) },
        Report::Opened { number: 1, result: Ok(1) },
        Report::Piece { number: 1, result: Ok(b"x") },
        Report::Listing { number: 1, result: Ok(Vec::new()), more: false },
        Report::Closed { number: 1 },
    ];
    for report in unasked {
        let (client, mut theirs) = begun().await;
        let loss = loss_after(&client, &mut theirs, &encode(&report, MOST_FROM_AGENT).unwrap()).await;
        assert!(matches!(loss, AgentLoss::BrokeItsWord(_)), "{report:?}: {loss:?}");
    }
}

/// A client with its first command running, and the agent's end.
async fn running() -> (AgentClient, crucible_agent::host::Running, DuplexStream) {
    let (client, mut theirs) = begun().await;
    let starting = client.start(Command::default());
    let answering = send(&mut theirs, &Report::Started { number: 1 });
    let (running, ()) = tokio::join!(starting, answering);
    (client, running.unwrap(), theirs)
}

#[tokio::test]
async fn more_output_than_was_granted_breaks_the_word() {
    let (client, running, mut theirs) = running().await;
    let piece = vec![b'x'; PIECE];
    let sending = async {
        for _ in 0..=usize::try_from(WINDOW).unwrap() / PIECE {
            let frame =
                encode(&Report::Output { number: 1, stream: OutputStream::Out, bytes: &piece }, MOST_FROM_AGENT);
            if theirs.write_all(&frame.unwrap()).await.is_err() {
                break;
            }
        }
        // Keeps the line open, so that it isn't for its end that the agent is lost.
        timeout(LONG, client.until_lost()).await.unwrap();
    };
    sending.await;
    assert!(matches!(client.loss(), Some(AgentLoss::BrokeItsWord(why)) if why.contains("granted")));
    // What was granted is still there to be read, then the stream ends.
    let (mut out, mut got) = (running.out, Vec::new());
    out.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.len(), usize::try_from(WINDOW).unwrap());
}

/// A client whose door has let one connection in, by the number 1.
async fn connected() -> (AgentClient, Door, Connection, DuplexStream) {
    let (client, mut theirs) = begun().await;
    let mut door = client.door();
    let (accepted, ()) = tokio::join!(door.accept(), send(&mut theirs, &Report::Started { number: 1 }));
    (client, door, accepted.unwrap(), theirs)
}

#[tokio::test]
async fn connections_that_nobody_waits_for_break_the_word() {
    // Where nothing listens, with a number that was never given, and twice.
    for number in [1, 2] {
        let (client, mut door, connection, mut theirs) = connected().await;
        let frame = encode(&Report::Started { number }, MOST_FROM_AGENT).unwrap();
        let loss = loss_after(&client, &mut theirs, &frame).await;
        assert!(matches!(loss, AgentLoss::BrokeItsWord(ref why) if why.contains("nobody asked for")), "{loss:?}");
        assert!(matches!(door.accept().await, Err(AgentError::Lost(AgentLoss::BrokeItsWord(_)))));
        drop(connection);
    }
    // One that is waited for, but not by this number.
    let (client, mut theirs) = begun().await;
    let mut door = client.door();
    let frame = encode(&Report::Started { number: 7 }, MOST_FROM_AGENT).unwrap();
    let (accepted, loss) = tokio::join!(door.accept(), loss_after(&client, &mut theirs, &frame));
    assert!(accepted.is_err() && matches!(loss, AgentLoss::BrokeItsWord(_)), "{loss:?}");
}

#[tokio::test]
async fn a_connection_has_neither_an_end_nor_errors_and_no_more_than_was_granted() {
    let wrong = [
        Report::Ended { number: 1, status: Ended::Exited(0) },
        Report::Output { number: 1, stream: OutputStream::Error, bytes: b"x" },
        Report::OutputEnd { number: 1, stream: OutputStream::Error },
        Report::InputCredit { number: 1, bytes: 1 },
        Report::Output { number: 1, stream: OutputStream::Out, bytes: b"" },
    ];
    for report in wrong {
        let (client, _door, _connection, mut theirs) = connected().await;
        let loss = loss_after(&client, &mut theirs, &encode(&report, MOST_FROM_AGENT).unwrap()).await;
        assert!(matches!(loss, AgentLoss::BrokeItsWord(_)), "{report:?}: {loss:?}");
    }
    let (client, _door, mut connection, mut theirs) = connected().await;
    let piece = vec![b'x'; PIECE];
    let report = Report::Output { number: 1, stream: OutputStream::Out, bytes: &piece };
    let frames = encode(&report, MOST_FROM_AGENT).unwrap().repeat(usize::try_from(WINDOW).unwrap() / PIECE + 1);
    let loss = loss_after(&client, &mut theirs, &frames).await;
    assert!(matches!(loss, AgentLoss::BrokeItsWord(why) if why.contains("granted")));
    let mut got = Vec::new();
    connection.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.len(), usize::try_from(WINDOW).unwrap());
    assert!(connection.write_all(b"x").await.is_err());
}

#[tokio::test]
async fn connections_that_the_agent_never_ends_take_no_more_than_their_places() {
    let (client, mut theirs) = begun().await;
    let (mut door, all) = (client.door(), MOST_CONNECTIONS);
    for number in 1..=all {
        let report = Report::Started { number };
        let (accepted, ()) = tokio::join!(door.accept(), send(&mut theirs, &report));
        // Nobody holds it any more; what the agent says to that decides when it is over.
        drop(accepted.unwrap());
    }
    assert!(timeout(Duration::from_millis(50), door.accept()).await.is_err());
    // No number was given for one more.
    send(&mut theirs, &Report::OutputEnd { number: 1, stream: OutputStream::Out }).await;
    send(&mut theirs, &Report::InputClosed { number: 1 }).await;
    assert!(timeout(Duration::from_millis(50), door.accept()).await.is_err());
    // Waiting that was given up is taken up again, by the same number.
    let report = Report::Started { number: all + 1 };
    let (accepted, ()) = tokio::join!(door.accept(), send(&mut theirs, &report));
    drop(accepted.unwrap());
    assert_eq!(client.loss(), None);
    let frame = encode(&Report::Started { number: all + 2 }, MOST_FROM_AGENT).unwrap();
    assert!(matches!(loss_after(&client, &mut theirs, &frame).await, AgentLoss::BrokeItsWord(_)));
}

#[tokio::test]
async fn ends_that_come_twice_and_credit_out_of_nothing_break_the_word() {
    let twice = [
        Report::Ended { number: 1, status: Ended::Exited(0) },
        Report::OutputEnd { number: 1, stream: OutputStream::Error },
        Report::InputClosed { number: 1 },
        Report::Started { number: 1 },
    ];
    for report in twice {
        let (client, _running, mut theirs) = running().await;
        let frame = encode(&report, MOST_FROM_AGENT).unwrap();
        let loss = loss_after(&client, &mut theirs, &[frame.clone(), frame].concat()).await;
        assert!(matches!(loss, AgentLoss::BrokeItsWord(_)), "{report:?}: {loss:?}");
    }
    let (client, _running, mut theirs) = running().await;
    let frame = encode(&Report::InputCredit { number: 1, bytes: 1 }, MOST_FROM_AGENT).unwrap();
    assert!(matches!(loss_after(&client, &mut theirs, &frame).await, AgentLoss::BrokeItsWord(_)));
}

#[tokio::test]
async fn a_listing_without_end_and_names_that_no_file_has_break_the_word() {
    let entry = |name: &[u8]| Entry { name: name.to_vec(), kind: EntryKind::File, size: 0 };
    for name in [&b""[..], b"..", b"a/b", b"nul\0", &[b'x'; 256]] {
        let (client, mut theirs) = begun().await;
        let report = Report::Listing { number: 1, result: Ok(vec![entry(name)]), more: false };
        let frame = encode(&report, MOST_FROM_AGENT).unwrap();
        let (listed, loss) = tokio::join!(client.list("/work"), loss_after(&client, &mut theirs, &frame));
        assert!(listed.is_err() && matches!(loss, AgentLoss::BrokeItsWord(_)), "{name:?}");
    }
    let (client, mut theirs) = begun().await;
    let part = Report::Listing { number: 1, result: Ok((0..9000).map(|_| entry(b"x")).collect()), more: true };
    let frame = encode(&part, MOST_FROM_AGENT).unwrap();
    let flooding = async { while theirs.write_all(&frame).await.is_ok() && client.loss().is_none() {} };
    let (listed, ()) = tokio::join!(client.list("/work"), flooding);
    assert!(matches!(listed, Err(AgentError::Lost(AgentLoss::BrokeItsWord(_)))));
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_loses_nothing() {
    let (client, mut theirs) = begun().await;
    let answering = send(&mut theirs, &Report::Opened { number: 1, result: Err(Refusal::NotRegular) });
    let (opened, ()) = tokio::join!(client.open_file("/work/x"), answering);
    assert!(matches!(opened, Err(AgentError::Refused(Refusal::NotRegular))));
    send(&mut theirs, &Report::Closed { number: 1 }).await;
    let report = Report::Usage(crucible_agent::host::Usage::default());
    let answering = send(&mut theirs, &report);
    let (used, ()) = tokio::join!(client.usage(), answering);
    used.unwrap();
    assert_eq!(client.loss(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_hang_the_client(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, mut theirs) = begun().await;
            let sending = async {
                let _ = theirs.write_all(&bytes).await.is_ok();
                drop(theirs);
            };
            let mut door = client.door();
            let (started, listed, accepted, ()) =
                tokio::join!(client.start(Command::default()), client.list("/work"), door.accept(), sending);
            assert!(started.is_err() || listed.is_err() || accepted.is_err());
            timeout(LONG, client.until_lost()).await.unwrap();
        });
    }
}
