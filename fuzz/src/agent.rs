//! An agent that says anything at all, to a client that waits for several answers.

use crucible_agent::host::{Abilities, AgentClient, Command};
use crucible_agent::protocol::frame::{Receiver, encode};
use crucible_agent::protocol::{MOST_FROM_AGENT, Report, preamble};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Whatever it says, the client neither breaks nor waits for ever, and holds no more than it granted.
pub fn check(bytes: &[u8]) {
    frames(bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(conversation(bytes));
}

fn frames(bytes: &[u8]) {
    let mut receiver = Receiver::new(MOST_FROM_AGENT);
    for piece in bytes.chunks(1 << 12) {
        let room = receiver.room();
        assert!(room.len() >= piece.len() && room.len() <= MOST_FROM_AGENT + (1 << 17), "it makes room without bound");
        room[..piece.len()].copy_from_slice(piece);
        receiver.filled(piece.len());
        loop {
            match receiver.next::<Report<'_>>() {
                Ok(Some(report)) => assert!(encode(&report, usize::MAX).is_some(), "what was read can't be written"),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

async fn conversation(bytes: &[u8]) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let (reader, writer) = tokio::io::split(ours);
    let ready = encode(&Report::Ready(Abilities::default()), MOST_FROM_AGENT).expect("it is short");
    let begun = [preamble::ours().as_slice(), &ready, bytes].concat();
    theirs.write_all(&begun[..preamble::LENGTH + ready.len()]).await.expect("there is room");
    let Ok(client) = AgentClient::connect(reader, writer, &["/work"]).await else { panic!("a sound beginning") };
    let saying = async {
        let _ = theirs.write_all(bytes).await.is_ok();
        drop(theirs);
    };
    // Numbers 1 to 5, as a fuzzer finds out soon.
    let command = async {
        if let Ok(mut running) = client.start(Command::default()).await {
            let mut output = Vec::new();
            let _ = running.input.write_all(b"input").await.is_ok();
            let _ = tokio::join!(running.out.read_to_end(&mut output), running.ending.wait());
        }
    };
    let listing = client.list("/work");
    let reading = async {
        if let Ok(mut file) = client.open_file("/work/file").await {
            let mut content = Vec::new();
            let _ = file.read_to_end(&mut content).await.is_ok();
        }
    };
    let writing = async {
        if let Ok(mut file) = client.create_file("/work/new", 0o644) {
            let _ = file.write(b"content").await.is_ok();
            let _ = file.finish().await.is_ok();
        }
    };
    let connecting = async {
        let mut door = client.door();
        while let Ok(mut connection) = door.accept().await {
            let mut heard = Vec::new();
            let _ = connection.write_all(b"answer").await.is_ok();
            let _ = connection.read_to_end(&mut heard).await.is_ok();
        }
    };
    let all = async { tokio::join!(saying, command, listing, reading, writing, connecting, client.usage()) };
    let ended = tokio::time::timeout(Duration::from_secs(5), all).await;
    assert!(ended.is_ok(), "something waits for an agent that is gone");
    client.until_lost().await;
    assert!(client.loss().is_some());
}
