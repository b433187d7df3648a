//! Behaviours of the way out that an allow-list gives. The behaviour itself is at the other end of the door: nothing leaves the
//! test.

use super::guest::Guest;
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::{Connection, Door, ErrorKind, NetworkPolicy, Policy};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// How long something may take that happens soon.
const SOON: Duration = Duration::from_secs(20);

/// The same subject with an allow-list. What is on it is the proxy's matter, which there is none of here.
fn with_a_list(subject: &ConformanceSubject) -> Result<ConformanceSubject, Stop> {
    let network: NetworkPolicy = "allow:127.0.0.1:9".parse()?;
    Ok(ConformanceSubject { policy: Policy { network, ..subject.policy.clone() }, ..subject.clone() })
}

/// Takes the next connection.
async fn accept(door: &mut Box<dyn Door>) -> Result<Box<dyn Connection>, Stop> {
    match timeout(SOON, door.accept()).await {
        Ok(accepted) => Ok(accepted?),
        Err(_) => Err(Stop::Failed("no connection came in by the door".to_owned())),
    }
}

async fn all_of(connection: &mut Box<dyn Connection>) -> Result<Vec<u8>, Stop> {
    let mut heard = Vec::new();
    match timeout(SOON, connection.read_to_end(&mut heard)).await {
        Ok(read) => read.map(|_| heard).map_err(Stop::from),
        Err(_) => Err(Stop::Failed(format!("the connection's end never came, only {} bytes", heard.len()))),
    }
}

/// Says something, and the end.
async fn say(connection: &mut Box<dyn Connection>, bytes: &[u8]) -> Checked {
    let saying = async {
        connection.write_all(bytes).await?;
        connection.shutdown().await
    };
    match timeout(SOON, saying).await {
        Ok(said) => Ok(said?),
        Err(_) => Err(Stop::Failed("the guest never takes what it is sent".to_owned())),
    }
}

pub(super) async fn connections_come_in_by_the_door_and_each_direction_ends_by_itself(
    subject: &ConformanceSubject,
) -> Checked {
    let guest = Guest::python(&with_a_list(subject)?).await?;
    let mut door = guest.sandbox.door()?;
    let again = guest.sandbox.door().map(drop).map_err(|error| error.kind());
    ensure!(again == Err(ErrorKind::Refused), "the door can be taken twice: {again:?}");
    let script = "
import socket, sys
at = (sys.argv[1], int(sys.argv[2]))
first = socket.create_connection(at, 20)
first.sendall(b'question')
first.shutdown(socket.SHUT_WR)
print(first.makefile('rb').read())
second = socket.create_connection(at, 20)
print(second.makefile('rb').read())
second.sendall(b'thanks')
second.close()
third = socket.create_connection(at, 20)
third.sendall(bytes(range(256)) * 4096)
third.shutdown(socket.SHUT_WR)
print(third.makefile('rb').read() == bytes(range(256)) * 4096)";
    let (address, port) = (door.address().ip().to_string(), door.address().port().to_string());
    let arguments = [address.as_str(), &port];
    let calling = guest.run(script, &arguments);
    let hearing = async {
        let mut first = accept(&mut door).await?;
        let asked = all_of(&mut first).await?;
        ensure!(asked == b"question", "the guest asked {asked:?}");
        say(&mut first, b"answer").await?;
        let mut second = accept(&mut door).await?;
        say(&mut second, b"all there is").await?;
        let heard = all_of(&mut second).await?;
        ensure!(heard == b"thanks", "after the end of the other direction comes {heard:?}");
        let (mut read, mut write) = tokio::io::split(accept(&mut door).await?);
        let echoing = async {
            tokio::io::copy(&mut read, &mut write).await?;
            write.shutdown().await
        };
        timeout(SOON, echoing).await.map_err(|_| Stop::Failed("a mebibyte doesn't come back".to_owned()))??;
        Ok::<_, Stop>(())
    };
    let (called, heard) = tokio::join!(calling, hearing);
    heard?;
    let told = called?.told()?;
    ensure!(told == "b'answer'\nb'all there is'\nTrue\n", "the guest heard {told:?}");
    guest.finish().await?;

    let guest = Guest::python(subject).await?;
    let kind = guest.sandbox.door().map(drop).map_err(|error| error.kind());
    ensure!(kind == Err(ErrorKind::Refused), "there is a door without an allow-list: {kind:?}");
    let script = "
import socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); print('connected')
except OSError: print('refused')";
    let told = guest.run(script, &[&address, &port]).await?.told()?;
    ensure!(told == "refused\n", "somebody listens at the door's place where there is none: {told}");
    guest.finish().await
}

pub(super) async fn many_connections_are_kept_apart_and_one_that_takes_nothing_holds_up_no_other(
    subject: &ConformanceSubject,
) -> Checked {
    const MANY: usize = 30;
    let guest = Guest::python(&with_a_list(subject)?).await?;
    let mut door = guest.sandbox.door()?;
    let script = "
import socket, sys
at = (sys.argv[1], int(sys.argv[2]))
deaf = socket.create_connection(at, 20)
many = [socket.create_connection(at, 20) for _ in range(int(sys.argv[3]))]
for number, one in enumerate(many): one.sendall(b'%4d' % number)
print(all(many[number].makefile('rb').read() == b'%4d' % -number for number in reversed(range(len(many)))))";
    let (address, port) = (door.address().ip().to_string(), door.address().port().to_string());
    let many = MANY.to_string();
    let arguments = [address.as_str(), &port, &many];
    let calling = guest.run(script, &arguments);
    let hearing = async {
        let mut deaf = accept(&mut door).await?;
        let flood = vec![0; 64 << 20];
        let filling = timeout(Duration::from_millis(500), deaf.write_all(&flood)).await;
        ensure!(filling.is_err(), "64 MiB went to a guest that reads nothing: {filling:?}");
        let mut open = Vec::new();
        for _ in 0..MANY {
            open.push(accept(&mut door).await?);
        }
        for connection in &mut open {
            let mut number = [0; 4];
            let read = timeout(SOON, connection.read_exact(&mut number)).await;
            let number: Option<usize> = std::str::from_utf8(&number).ok().and_then(|text| text.trim().parse().ok());
            let Some(number) = number.filter(|_| read.is_ok()) else {
                return Err(Stop::Failed("a connection's bytes never came".to_owned()));
            };
            let answer = if number == 0 { "   0".to_owned() } else { format!("{:>4}", format!("-{number}")) };
            say(connection, answer.as_bytes()).await?;
        }
        Ok(deaf)
    };
    let (called, heard) = tokio::join!(calling, hearing);
    drop(heard?);
    let told = called?.told()?;
    ensure!(told == "True\n", "connections are mixed up");
    guest.finish().await
}

pub(super) async fn nothing_but_the_door_can_be_called(subject: &ConformanceSubject) -> Checked {
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    // A machine may have no such loopback.
    let six = TcpListener::bind("[::1]:0").ok();
    for listener in std::iter::once(&tcp).chain(&six) {
        listener.set_nonblocking(true)?;
    }
    udp.set_nonblocking(true)?;
    let six_port = six.as_ref().and_then(|listener| listener.local_addr().ok()).map_or(1, |address| address.port());
    let ports = [tcp.local_addr()?.port(), six_port, udp.local_addr()?.port()].map(|port| port.to_string());
    let guest = Guest::python(&with_a_list(subject)?).await?;
    let script = "
import socket, sys
tcp, six, udp = map(int, sys.argv[1:])
def tried(what, call):
    try: call(); print(what)
    except OSError: pass
tried('called by IPv4', lambda: socket.create_connection(('127.0.0.1', tcp), 5))
tried('called by IPv6', lambda: socket.create_connection(('::1', six), 5))
tried('sent', lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', udp)))
tried('named', lambda: socket.socket().bind(('127.0.0.1', 0)))
try:
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.connect(('127.0.0.1', udp))
    datagrams.send(b'x')
except OSError: pass
print('tried')";
    let seen = guest.run(script, &[&ports[0], &ports[1], &ports[2]]).await?.told()?;
    let is_nobody = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    let nobody = std::iter::once(&tcp).chain(&six).all(|listener| listener.accept().is_err_and(is_nobody));
    ensure!(nobody, "the guest reached a listener of the host past the door, and says: {seen}");
    ensure!(udp.recv(&mut [0; 8]).is_err_and(is_nobody), "the guest sent a datagram to the host, and says: {seen}");
    ensure!(seen == "tried\n", "the guest says: {seen}");
    // It was there all the time.
    drop(guest.sandbox.door()?);
    guest.finish().await
}
