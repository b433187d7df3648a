//! The proxy against guests of every kind, with an outside that nothing leaves.

use super::*;
use async_trait::async_trait;
use crucible_core::{Error, ErrorKind};
use std::sync::Mutex as StdMutex;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::sync::mpsc;

/// Where the machine itself is, in this outside.
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 4, 4));

/// An outside in which every connection comes to an echo, and names mean something else each time.
#[derive(Default)]
struct Echoes {
    asked: StdMutex<Vec<String>>,
    reached: StdMutex<Vec<SocketAddr>>,
}

#[async_trait]
impl Outside for Echoes {
    async fn look_up(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(name.to_owned());
        let turn = u8::try_from(asked.len()).unwrap();
        match name {
            "inner.example" => Ok(vec!["127.0.0.1".parse().unwrap(), "::ffff:10.0.0.1".parse().unwrap()]),
            "here.example" => Ok(vec![HERE]),
            "nowhere.example" => Err(std::io::ErrorKind::NotFound.into()),
            _ => Ok(vec![IpAddr::from([8, 8, 8, turn])]),
        }
    }

    async fn connect(&self, address: SocketAddr) -> std::io::Result<(Box<dyn Connection>, IpAddr)> {
        self.reached.lock().unwrap().push(address);
        let (ours, mut theirs) = duplex(4096);
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(&mut theirs);
            tokio::io::copy(&mut read, &mut write).await
        });
        Ok((Box::new(ours), HERE))
    }
}

struct Hall(mpsc::Receiver<DuplexStream>);

#[async_trait]
impl Door for Hall {
    fn address(&self) -> SocketAddr {
        "127.0.0.1:3128".parse().unwrap()
    }

    async fn accept(&mut self) -> Result<Box<dyn Connection>> {
        match self.0.recv().await {
            Some(stream) => Ok(Box::new(stream)),
            None => Err(Error::new(ErrorKind::Infrastructure, "accept", "closed")),
        }
    }
}

struct Bench {
    outside: Arc<Echoes>,
    told: Arc<Told>,
    door: mpsc::Sender<DuplexStream>,
}

impl Bench {
    fn new(network: &str) -> Self {
        let NetworkPolicy::AllowList(allowed) = network.parse().unwrap() else { panic!("no list") };
        let (outside, told) = (Arc::<Echoes>::default(), Arc::<Told>::default());
        let dynamic: Arc<dyn Outside> = Arc::clone(&outside) as Arc<dyn Outside>;
        let proxy = Proxy { allowed, outside: dynamic, told: Arc::clone(&told), pinned: Mutex::default() };
        let (door, hall) = mpsc::channel(100);
        tokio::spawn(serve(Arc::new(proxy), Box::new(Hall(hall))));
        Self { outside, told, door }
    }

    async fn knock(&self) -> DuplexStream {
        let (guest, theirs) = duplex(4096);
        self.door.send(theirs).await.unwrap();
        guest
    }

    /// Says something and hears everything until the end.
    async fn ask(&self, text: &str) -> String {
        let mut guest = self.knock().await;
        guest.write_all(text.as_bytes()).await.unwrap();
        guest.shutdown().await.unwrap();
        let mut heard = String::new();
        guest.read_to_string(&mut heard).await.unwrap();
        heard
    }

    fn told(&self) -> Vec<(BehaviorKind, String, u64)> {
        let seen = |seen: &crucible_core::Observed| (seen.first.kind, seen.first.name.clone(), seen.count);
        self.told.lock().iter().map(seen).collect()
    }
}

#[tokio::test]
async fn what_is_listed_is_reached_through_a_tunnel_and_by_plain_requests() {
    let bench = Bench::new("allow:a.example:443,b.example:80");
    let heard = bench.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\nhello").await;
    assert_eq!(heard, "HTTP/1.1 200 Connection established\r\n\r\nhello");
    let heard = bench.ask("GET http://b.example/x HTTP/1.1\r\nHost: c.example\r\n\r\n").await;
    assert_eq!(heard, "GET /x HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n");
    let made = |name: &str| (BehaviorKind::ConnectionMade, name.to_owned(), 1);
    assert_eq!(bench.told(), [made("a.example:443"), made("b.example:80")]);
}

#[tokio::test]
async fn a_name_means_all_the_run_what_it_meant_at_first() {
    let bench = Bench::new("allow:a.example:443,a.example:80");
    for port in [443, 80, 443] {
        bench.ask(&format!("CONNECT A.example:{port} HTTP/1.1\r\n\r\n")).await;
    }
    assert_eq!(*bench.outside.asked.lock().unwrap(), ["a.example"]);
    let reached: Vec<_> = bench.outside.reached.lock().unwrap().iter().map(SocketAddr::ip).collect();
    assert_eq!(reached, [IpAddr::from([8, 8, 8, 1]); 3]);
    assert_eq!(bench.told().iter().map(|(.., count)| count).sum::<u64>(), 3);
}

#[tokio::test]
async fn what_is_not_listed_is_never_looked_up_nor_reached() {
    let bench = Bench::new("allow:a.example:443");
    for target in ["a.example:80", "b.example:443", "8.8.8.1:443", "127.0.0.1:443", "sub.a.example:443", "[::1]:443"] {
        let heard = bench.ask(&format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
        assert!(heard.starts_with("HTTP/1.1 403 ") && heard.contains("isn't on the allow-list"), "{target}: {heard}");
    }
    assert!(bench.outside.asked.lock().unwrap().is_empty() && bench.outside.reached.lock().unwrap().is_empty());
    assert!(bench.told().iter().all(|(kind, ..)| *kind == BehaviorKind::ConnectionRefused));
    assert_eq!(bench.told().len(), 6);
}

#[tokio::test]
async fn a_listed_name_does_not_open_what_is_private_and_a_listed_address_does() {
    let bench = Bench::new("allow:inner.example:80,here.example:80,nowhere.example:80");
    for (name, status) in [("inner", 403), ("here", 403), ("nowhere", 502)] {
        let heard = bench.ask(&format!("CONNECT {name}.example:80 HTTP/1.1\r\n\r\n")).await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {heard}");
    }
    assert_eq!(*bench.outside.reached.lock().unwrap(), [SocketAddr::new(HERE, 80)]);
    let bench = Bench::new("allow:inner.example:80,10.0.0.1:80");
    assert!(bench.ask("CONNECT inner.example:80 HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    assert!(bench.ask("CONNECT 10.0.0.1:80 HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(*bench.outside.reached.lock().unwrap(), ["10.0.0.1:80".parse().unwrap(); 2]);
}

#[tokio::test]
async fn rubbish_is_answered_and_those_who_say_nothing_hold_up_nobody() {
    let bench = Bench::new("allow:a.example:443");
    let mut silent = Vec::new();
    for _ in 0..MOST_CONNECTIONS - 1 {
        silent.push(bench.knock().await);
    }
    assert!(bench.ask("\x05\x01\x00 what?\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    drop(bench.knock().await);
    assert!(bench.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    drop(silent);
}

#[tokio::test]
async fn a_flood_of_destinations_is_counted_and_not_kept() {
    let told = Told::default();
    for number in 0..1000 {
        told.tell(BehaviorKind::ConnectionRefused, &format!("{number}.example:80"));
    }
    let all = told.lock();
    let flooded = all.last().unwrap();
    assert_eq!((all.len(), flooded.first.kind, flooded.count), (257, BehaviorKind::Flooded, 744));
}
