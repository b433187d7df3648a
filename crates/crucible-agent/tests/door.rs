//! The agent's program as an ordinary process of this machine, listening on the loopback for the test's own connections: many,
//! slow ones, and ends in both directions.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod started;

use crucible_agent::host::{AgentClient, AgentError, Beginning, Command, Connection, Ended, Running};
use crucible_agent::protocol::MOST_CONNECTIONS;
use std::net::SocketAddrV4;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

struct Agent {
    client: AgentClient,
    address: SocketAddrV4,
    _process: Child,
}

async fn connect(listen: Option<SocketAddrV4>) -> Result<(AgentClient, Child), AgentError> {
    let (process, input, output) = started::start();
    let beginning = Beginning { listen, ..Beginning::default() };
    let client = timeout(LONG, AgentClient::connect_with(output, input, beginning)).await.unwrap()?;
    Ok((client, process))
}

/// An agent that listens at a port that was free.
async fn agent() -> Agent {
    loop {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let address: SocketAddrV4 = free.to_string().parse().unwrap();
        match connect(Some(address)).await {
            Ok((client, process)) => return Agent { client, address, _process: process },
            // Somebody else was faster.
            Err(AgentError::Failed(failure)) => assert!(failure.step.contains("listen"), "{failure:?}"),
            Err(error) => assert_eq!(error.to_string(), ""),
        }
    }
}

impl Agent {
    async fn call(&self) -> TcpStream {
        timeout(LONG, TcpStream::connect(self.address)).await.unwrap().unwrap()
    }
}

async fn all_of(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(LONG, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    bytes
}

async fn say(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) {
    timeout(LONG, stream.write_all(bytes)).await.unwrap().unwrap();
}

/// Hears exactly this.
async fn hear(stream: &mut (impl AsyncReadExt + Unpin), expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    timeout(LONG, stream.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn each_direction_of_a_connection_ends_by_itself() {
    let agent = agent().await;
    let mut door = agent.client.door();
    // The guest is done first, and still hears.
    let (mut guest, mut host) = (agent.call().await, door.accept().await.unwrap());
    say(&mut guest, b"question").await;
    guest.shutdown().await.unwrap();
    assert_eq!(all_of(&mut host).await, b"question");
    say(&mut host, b"answer").await;
    host.shutdown().await.unwrap();
    assert_eq!(all_of(&mut guest).await, b"answer");
    // The host is done first, and still hears.
    let (mut guest, mut host) = (agent.call().await, door.accept().await.unwrap());
    say(&mut host, b"all there is").await;
    host.shutdown().await.unwrap();
    assert_eq!(all_of(&mut guest).await, b"all there is");
    say(&mut guest, b"thanks").await;
    drop(guest);
    assert_eq!(all_of(&mut host).await, b"thanks");
    assert_eq!(agent.client.loss(), None);
}

#[tokio::test]
async fn a_connection_that_one_side_drops_breaks_for_the_other() {
    let agent = agent().await;
    let mut door = agent.client.door();
    let (mut guest, host) = (agent.call().await, door.accept().await.unwrap());
    drop(host);
    // An end, or a reset where something was on its way.
    let mut rest = Vec::new();
    let _reset = timeout(LONG, guest.read_to_end(&mut rest)).await.unwrap().is_err();
    assert!(rest.is_empty());
    let (guest, mut host) = (agent.call().await, door.accept().await.unwrap());
    drop(guest);
    assert_eq!(all_of(&mut host).await, b"");
    assert!(timeout(LONG, host.write_all(&vec![0; 8 << 20])).await.unwrap().is_err());
    assert_eq!(agent.client.loss(), None);
}

#[tokio::test]
async fn a_mebibyte_passes_both_ways_at_once() {
    let agent = agent().await;
    let mut door = agent.client.door();
    let (guest, host) = (agent.call().await, door.accept().await.unwrap());
    let sent: Vec<u8> = (0_u32..1 << 18).flat_map(u32::to_le_bytes).collect();
    let both = |stream: Box<dyn Duplex>| {
        let sent = sent.clone();
        async move {
            let (mut read, mut write) = tokio::io::split(stream);
            let sending = async {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            };
            tokio::join!(all_of(&mut read), sending).0
        }
    };
    let (to_guest, to_host) =
        timeout(LONG, async { tokio::join!(both(Box::new(guest)), both(Box::new(host))) }).await.unwrap();
    assert!(to_guest == sent && to_host == sent, "{} and {} bytes", to_guest.len(), to_host.len());
}

trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Duplex for T {}

#[tokio::test]
async fn one_that_takes_nothing_and_one_that_nobody_reads_hold_up_nobody() {
    let agent = agent().await;
    let mut door = agent.client.door();
    let (_deaf, mut unheard) = (agent.call().await, door.accept().await.unwrap());
    let filling = timeout(Duration::from_millis(300), unheard.write_all(&vec![0; 64 << 20])).await;
    assert!(filling.is_err(), "64 MiB went to a guest that reads nothing: {filling:?}");
    let (mut loud, _unread) = (agent.call().await, door.accept().await.unwrap());
    let flooding = timeout(Duration::from_millis(300), loud.write_all(&vec![0; 64 << 20])).await;
    assert!(flooding.is_err(), "64 MiB were taken that nobody reads: {flooding:?}");
    for round in 0..20 {
        let (mut guest, mut host) = (agent.call().await, door.accept().await.unwrap());
        let text = format!("round {round}");
        say(&mut guest, text.as_bytes()).await;
        hear(&mut host, text.as_bytes()).await;
        say(&mut host, b"heard").await;
        drop(host);
        assert_eq!(all_of(&mut guest).await, b"heard");
    }
    let command = Command {
        argv: ["sh", "-c", "exit 7"].map(str::to_owned).to_vec(),
        env: vec!["PATH=/usr/bin:/bin".to_owned()],
        directory: "/".to_owned(),
        ..Command::default()
    };
    let Running { mut ending, .. } = agent.client.start(command).await.unwrap();
    assert_eq!(timeout(LONG, ending.wait()).await.unwrap(), Some(Ended::Exited(7)));
}

#[tokio::test]
async fn many_at_one_time_are_kept_apart_and_one_more_waits_for_a_place() {
    let agent = agent().await;
    let mut door = agent.client.door();
    let mut open: Vec<(TcpStream, Connection)> = Vec::new();
    for _ in 0..MOST_CONNECTIONS {
        open.push((agent.call().await, timeout(LONG, door.accept()).await.unwrap().unwrap()));
    }
    for (number, (guest, _)) in open.iter_mut().enumerate() {
        say(guest, format!("{number:>4}").as_bytes()).await;
    }
    for (number, (guest, host)) in open.iter_mut().enumerate().rev() {
        hear(host, format!("{number:>4}").as_bytes()).await;
        say(host, format!("{number:<4}").as_bytes()).await;
        hear(guest, format!("{number:<4}").as_bytes()).await;
    }
    let mut late = agent.call().await;
    assert!(timeout(Duration::from_millis(100), door.accept()).await.is_err());
    open.pop();
    let mut host = timeout(LONG, door.accept()).await.unwrap().unwrap();
    say(&mut late, b"at last").await;
    hear(&mut host, b"at last").await;
}

#[tokio::test]
async fn a_door_that_is_dropped_is_closed_and_what_came_in_goes_on() {
    let agent = agent().await;
    let mut door = agent.client.door();
    let (mut guest, mut host) = (agent.call().await, door.accept().await.unwrap());
    // Somebody waits for one more, and gives up.
    assert!(timeout(Duration::from_millis(50), door.accept()).await.is_err());
    drop(door);
    // The agent deals with one thing after the other.
    agent.client.usage().await.unwrap();
    let refused = TcpStream::connect(agent.address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    say(&mut guest, b"still").await;
    hear(&mut host, b"still").await;
    let mut door = agent.client.door();
    assert!(matches!(timeout(LONG, door.accept()).await.unwrap(), Err(AgentError::NotStarted(_))));
    assert_eq!(agent.client.loss(), None);
}

#[tokio::test]
async fn an_agent_listens_only_where_it_is_asked_to_and_says_where_it_cannot() {
    let (client, _process) = connect(None).await.unwrap();
    assert!(matches!(timeout(LONG, client.door().accept()).await.unwrap(), Err(AgentError::NotStarted(_))));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddrV4 = taken.local_addr().unwrap().to_string().parse().unwrap();
    match connect(Some(address)).await.err() {
        Some(AgentError::Failed(failure)) => {
            assert_eq!((failure.step.as_str(), failure.errno), ("listen for connections", 98))
        }
        other => assert!(other.is_none(), "{other:?}"),
    }
}
