//! Brings an event to an address: one POST, signed as Standard Webhooks says.
//!
//! Invariant: it connects to public addresses over TLS, or to networks that whoever runs the service named, and to nothing else;
//! a name is looked up by the one who connects, so that it can't come to mean something else between. It follows no redirection
//! and reads nothing of an answer but its head. A secret is only ever used to sign.

use async_trait::async_trait;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use axum::http::{Request, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crucible_core::{Error, ErrorKind, Result, StoredEvent, Webhook, rfc3339};
use crucible_engine::{Brought, Courier, is_public};
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use ipnet::IpNet;
use sha2::Sha256;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tower::Service;

/// How long finding and reaching an address may take, and how long all of it.
const REACHING: Duration = Duration::from_secs(5);
const ANSWERING: Duration = Duration::from_secs(10);
/// The longest that an address may ask to be left alone.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// Where webhooks may lead.
#[derive(Clone, Debug, Default)]
pub struct Reachable {
    /// Networks that needn't be public, nor spoken to over TLS.
    networks: Arc<[IpNet]>,
}

impl Reachable {
    /// Public addresses, and these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self { networks: networks.into() }
    }

    fn is_named(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    fn admits(&self, address: IpAddr, tls: Tls) -> bool {
        self.is_named(address) || (tls == Tls::Yes && is_public(address))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    Yes,
    No,
}

/// An address, as far as it can be judged before its name is looked up.
struct Target {
    uri: Uri,
    tls: Tls,
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "read the webhook's address", message)
}

fn target(url: &str, reachable: &Reachable) -> Result<Target> {
    let uri: Uri = url.parse().map_err(|error| wrong(format!("url: it can't be read: {error}")))?;
    let tls = match uri.scheme_str() {
        Some("https") => Tls::Yes,
        Some("http") => Tls::No,
        _ => return Err(wrong("url: it begins with https://")),
    };
    let Some(authority) = uri.authority() else { return Err(wrong("url: it names no host")) };
    if authority.as_str().contains('@') {
        return Err(wrong("url: a name or a password isn't sent; deliveries are signed instead"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(wrong("url: it names no host"));
    }
    if let Ok(address) = host.parse::<IpAddr>()
        && !reachable.admits(address, tls)
    {
        return Err(not_admitted(tls));
    }
    if tls == Tls::No && reachable.networks.is_empty() {
        return Err(not_admitted(tls));
    }
    Ok(Target { uri, tls })
}

fn not_admitted(tls: Tls) -> Error {
    let message = match tls {
        Tls::Yes => "url: it leads to an address that isn't public",
        Tls::No => "url: it begins with http://, and leads to no network that may be told without TLS",
    };
    Error::new(ErrorKind::Refused, "read the webhook's address", message)
        .with_hint("whoever runs the service can admit a network in serve.webhook_networks")
}

/// Looks names up, and gives only addresses that may be gone to.
#[derive(Clone)]
struct Guarded {
    reachable: Reachable,
    tls: Tls,
}

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { reachable, tls } = self.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One that isn't admitted may be meant for somebody else: all of them have to be.
            if found.iter().all(|address| reachable.admits(address.ip(), tls)) {
                return Ok(found.into_iter());
            }
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "its name stands for an address that isn't admitted"))
        })
    }
}

/// Brings webhooks.
pub struct HttpCourier {
    reachable: Reachable,
    /// `None` where this machine trusts nobody.
    over_tls: Option<Client<HttpsConnector<HttpConnector<Guarded>>, Full<Bytes>>>,
    without: Client<HttpConnector<Guarded>, Full<Bytes>>,
}

impl HttpCourier {
    /// Goes where it may. The roots of this machine say whom to trust.
    #[must_use]
    pub fn new(reachable: Reachable) -> Self {
        let connector = |tls| {
            let mut connector = HttpConnector::new_with_resolver(Guarded { reachable: reachable.clone(), tls });
            connector.set_connect_timeout(Some(REACHING));
            connector.enforce_http(tls == Tls::No);
            connector
        };
        let client = || {
            let mut client = Client::builder(TokioExecutor::new());
            client.pool_max_idle_per_host(1);
            client
        };
        let over_tls = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map(|roots| client().build(roots.https_only().enable_http1().wrap_connector(connector(Tls::Yes))));
        let without = client().build(connector(Tls::No));
        Self { reachable, over_tls: over_tls.ok(), without }
    }

    /// Refuses an address that will never be gone to.
    ///
    /// # Errors
    /// `InvalidInput` for what is none; `Refused` for one that isn't admitted.
    pub fn check(&self, url: &str) -> Result<()> {
        target(url, &self.reachable).map(drop)
    }

    async fn post(&self, webhook: &Webhook, event: &StoredEvent) -> std::result::Result<Brought, String> {
        let Target { uri, tls } = target(&webhook.url, &self.reachable).map_err(|error| error.to_string())?;
        let body = message(event);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = format!("{}.{}", event.evaluation, event.number);
        let request = Request::post(uri)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("crucible/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &id)
            .header("webhook-timestamp", since)
            .header("webhook-signature", sign(&webhook.secret.0, &id, since, body.as_bytes())?)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = match tls {
            Tls::Yes => match &self.over_tls {
                Some(client) => client.request(request),
                None => {
                    return Err("this machine trusts no certificates: it lacks the package ca-certificates".to_owned());
                }
            },
            Tls::No => self.without.request(request),
        };
        let answer = tokio::time::timeout(ANSWERING, answer)
            .await
            .map_err(|_| format!("it didn't answer within {} s", ANSWERING.as_secs()))?
            .map_err(|error| in_words(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Brought::Delivered);
        }
        if status == StatusCode::GONE {
            return Ok(Brought::Gone);
        }
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let wait = wait.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        Ok(Brought::Failed { why: format!("it answered {}", status.as_u16()), wait })
    }
}

/// What is told: [`crucible_api::v1::WebhookMessage`]. Kind and time are plain words.
fn message(event: &StoredEvent) -> String {
    let mut text =
        format!("{{\"type\":\"evaluation.{}\",\"timestamp\":\"{}\",\"data\":", event.kind, rfc3339(event.at));
    crate::feed::json(event, &mut text);
    text.push('}');
    text
}

/// What went wrong, down to its reason.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = "it can't be reached".to_owned();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text.chars().take(400).collect()
}

/// The signature by Standard Webhooks: over the id, the time and the body, so that none of them can be another's.
fn sign(secret: &[u8], id: &str, timestamp: u64, body: &[u8]) -> std::result::Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[async_trait]
impl Courier for HttpCourier {
    async fn bring(&self, webhook: &Webhook, event: &StoredEvent) -> Brought {
        self.post(webhook, event).await.unwrap_or_else(|why| Brought::Failed { why, wait: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reachable(networks: &[&str]) -> Reachable {
        Reachable::new(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    #[test]
    fn an_address_is_public_and_over_tls_or_in_a_network_that_was_named() {
        let (nowhere, inside) = (reachable(&[]), reachable(&["10.0.0.0/8", "127.0.0.1/32", "::1/128"]));
        for (url, at_all, when_named) in [
            ("https://example.org/hook?x=1", true, true),
            ("https://8.8.8.8/", true, true),
            ("http://example.org/", false, true),
            ("https://127.0.0.1/", false, true),
            ("http://127.0.0.1:8000/x", false, true),
            ("http://[::1]:80/", false, true),
            ("https://[::ffff:10.1.2.3]/", false, true),
            ("https://169.254.169.254/latest/", false, false),
            ("https://192.168.0.1/", false, false),
            ("https://[fd00::1]/", false, false),
            ("http://8.8.8.8/", false, false),
        ] {
            assert_eq!((target(url, &nowhere).is_ok(), target(url, &inside).is_ok()), (at_all, when_named), "{url}");
        }
        for url in [
            "",
            "example.org",
            "ftp://example.org/",
            "https://",
            "https:///x",
            "https://me:pw@example.org/",
            "https://a b/",
        ] {
            assert_eq!(target(url, &inside).err().unwrap().kind(), ErrorKind::InvalidInput, "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_stands_for_an_address_inside_is_not_gone_to() {
        let name = || "localhost".parse::<Name>().unwrap();
        let mut guarded = Guarded { reachable: reachable(&[]), tls: Tls::Yes };
        assert_eq!(guarded.call(name()).await.err().unwrap().kind(), io::ErrorKind::PermissionDenied);
        let mut guarded = Guarded { reachable: reachable(&["127.0.0.0/8", "::1/128"]), tls: Tls::No };
        assert!(guarded.call(name()).await.unwrap().next().is_some());
    }

    #[test]
    fn what_is_told_reads_as_it_is_described() {
        let event = StoredEvent {
            global: crucible_core::GlobalNumber(9),
            project: "team".parse().unwrap(),
            evaluation: crucible_core::EvaluationId::generate(),
            number: 4,
            at: SystemTime::now(),
            kind: "finished".into(),
            body: Bytes::from_static(br#"{"status":"exited"}"#),
        };
        let message: crucible_api::v1::WebhookMessage = serde_json::from_str(&message(&event)).unwrap();
        assert_eq!((message.kind.as_str(), message.data.number), ("evaluation.finished", 4));
        assert_eq!((message.data.project.as_str(), &message.data.data["status"]), ("team", &"exited".into()));
    }

    /// The example that the standard's own documentation works out.
    #[test]
    fn a_signature_is_as_the_standard_has_it() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
