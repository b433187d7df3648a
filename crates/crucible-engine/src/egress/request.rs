//! What a guest asks a proxy for.
//!
//! Invariant: the guest is hostile. What is kept of it is bounded; only what is understood whole is answered, and what is sent on
//! names the destination that was checked.

use crucible_core::{Destination, Host};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest head, in bytes.
const LONGEST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 100;
const HTTP_PORT: u16 = 80;

/// Headers that are between a client and its proxy, or that the proxy words by itself.
const OWN_HEADERS: [&str; 6] = ["connection", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te"];

/// A request to be let out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) destination: Destination,
    pub(super) wanted: Wanted,
    /// What came right behind the head.
    pub(super) rest: Vec<u8>,
}

/// What for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A tunnel for bytes of any kind.
    Tunnel,
    /// Something by plain HTTP, asked for with this head.
    Resource { head: Vec<u8> },
}

/// Reads a request. `None` where it is no request for a proxy.
///
/// # Errors
/// Where the guest hangs up before it has said all.
pub(super) async fn read(guest: &mut (dyn AsyncRead + Send + Unpin)) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    loop {
        if guest.take((LONGEST_HEAD - bytes.len()) as u64).read_buf(&mut bytes).await? == 0 {
            return if bytes.len() < LONGEST_HEAD { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(&bytes) {
            Ok(httparse::Status::Partial) => {}
            Ok(httparse::Status::Complete(length)) => {
                let rest = bytes.get(length..).unwrap_or_default().to_vec();
                return Ok(understand(&parsed).map(|(destination, wanted)| Request { destination, wanted, rest }));
            }
            Err(_) => return Ok(None),
        }
    }
}

fn understand(parsed: &httparse::Request<'_, '_>) -> Option<(Destination, Wanted)> {
    let (method, target) = (parsed.method?, parsed.path?);
    if method == "CONNECT" {
        return Some((target.parse().ok()?, Wanted::Tunnel));
    }
    let scheme = "http://";
    let whole = target
        .get(..scheme.len())
        .filter(|start| start.eq_ignore_ascii_case(scheme))
        .and(target.get(scheme.len()..))?;
    let end = whole.find(['/', '?', '#']).unwrap_or(whole.len());
    let (authority, path) = whole.split_at(end);
    let slash = if path.starts_with('/') { "" } else { "/" };
    let destination = match authority.parse() {
        Ok(destination) => destination,
        Err(_) => Destination { host: authority.parse::<Host>().ok()?, port: HTTP_PORT },
    };
    let mut head = format!("{method} {slash}{path} HTTP/1.1\r\nHost: {}\r\n", host_header(&destination)).into_bytes();
    for header in
        parsed.headers.iter().filter(|header| !OWN_HEADERS.contains(&header.name.to_ascii_lowercase().as_str()))
    {
        head.extend_from_slice(header.name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(header.value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    Some((destination, Wanted::Resource { head }))
}

fn host_header(destination: &Destination) -> String {
    if destination.port == HTTP_PORT { destination.host.to_string() } else { destination.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(text: &[u8]) -> io::Result<Option<Request>> {
        read(&mut std::io::Cursor::new(text.to_vec())).await
    }

    #[tokio::test]
    async fn tunnels_and_plain_requests_are_understood_and_worded_anew() {
        let request = heard(b"CONNECT Example.org:443 HTTP/1.1\r\nHost: other\r\n\r\n\x16\x03").await.unwrap().unwrap();
        assert_eq!((request.destination.to_string().as_str(), request.wanted), ("example.org:443", Wanted::Tunnel));
        assert_eq!(request.rest, b"\x16\x03");
        let text = b"GET http://example.org:8080?x=1 HTTP/1.1\r\nHost: inner\r\nProxy-Connection: keep-alive\r\nX-Own: a\r\n\r\n";
        let request = heard(text).await.unwrap().unwrap();
        let Wanted::Resource { head } = request.wanted else { panic!("no resource") };
        let expected = "GET /?x=1 HTTP/1.1\r\nHost: example.org:8080\r\nX-Own: a\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(head).unwrap(), expected);
        let request = heard(b"POST HTTP://[2001:db8::1]/a#b HTTP/1.0\r\n\r\nbody").await.unwrap().unwrap();
        assert_eq!(request.destination.to_string(), "[2001:db8::1]:80");
        assert_eq!(request.rest, b"body");
    }

    #[tokio::test]
    async fn what_is_no_request_for_a_proxy_is_none() {
        for text in [
            "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
            "CONNECT example.org HTTP/1.1\r\n\r\n",
            "CONNECT user@example.org:443 HTTP/1.1\r\n\r\n",
            "GET ftp://example.org/ HTTP/1.1\r\n\r\n",
            "GET http:///x HTTP/1.1\r\n\r\n",
            "GET http://user:word@example.org/ HTTP/1.1\r\n\r\n",
            "GET http://example.org/ HTTP/1.1\r\nBad\r\n\r\n",
            "\u{5}\u{1}\u{0}\r\n\r\n",
        ] {
            assert_eq!(heard(text.as_bytes()).await.unwrap(), None, "{text:?}");
        }
        let endless = format!("GET http://example.org/{} HTTP/1.1\r\n\r\n", "a".repeat(LONGEST_HEAD));
        assert_eq!(heard(endless.as_bytes()).await.unwrap(), None);
        assert!(heard(b"CONNECT example.org:443 HTT").await.is_err());
    }
}
