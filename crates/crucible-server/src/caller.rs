//! Who asks, and what they may do.
//!
//! Invariants: a key is known by its hash alone; what belongs to another project is answered as if it weren't there; without
//! keys, only requests of this machine to a name of this machine are answered, so that no web page that somebody looks at can
//! make any.

use crate::api::Api;
use crate::problem::Problem;
use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crucible_core::{Error, ErrorKind, KeyHash, KeyId, KeyRecord, KeyStore, ProjectId, Result, Role};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What every key begins with, so that tools that look for leaked secrets know one.
const PREFIX: &str = "crucible_";
/// Random bytes of a key.
const RANDOM: usize = 32;
/// How long what is known of a key is believed.
const REMEMBERED: Duration = Duration::from_secs(5);
/// How many keys are remembered.
const MOST_REMEMBERED: usize = 4096;
/// How often it is noted that a key is used.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// For which project.
    pub project: ProjectId,
    /// What they may do.
    pub role: Role,
    /// What the key is called.
    pub name: String,
    /// The key; `None` where there are none.
    pub key: Option<KeyId>,
}

impl Caller {
    /// Whoever can reach a service that has no keys.
    #[must_use]
    pub fn local() -> Self {
        Self { project: ProjectId::default(), role: Role::Admin, name: "local".to_owned(), key: None }
    }

    /// Whose things they see: `None` for everybody's.
    #[must_use]
    pub fn sees(&self) -> Option<&ProjectId> {
        (self.role != Role::Admin).then_some(&self.project)
    }

    /// Whether they may see what belongs to a project.
    #[must_use]
    pub fn sees_those_of(&self, project: &ProjectId) -> bool {
        self.sees().is_none_or(|own| own == project)
    }

    /// Refuses what takes more than their role.
    ///
    /// # Errors
    /// `Refused`.
    pub fn needs(&self, role: Role) -> Result<()> {
        if self.role >= role {
            return Ok(());
        }
        let message = format!("this takes the role {role}, and the key '{}' has the role {}", self.name, self.role);
        Err(Error::new(ErrorKind::Refused, "check the role", message))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    /// Whoever was found by their key. Where nobody looked, whoever may connect may do everything.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> std::result::Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(Self::local))
    }
}

/// Who is let in.
pub enum Access {
    /// Everybody who can reach the service under a name of this machine.
    Local,
    /// Whoever has a key.
    Keys(KeyRing),
}

/// Knows keys.
pub struct KeyRing {
    store: Arc<dyn KeyStore>,
    known: Mutex<HashMap<[u8; 32], Known>>,
}

struct Known {
    key: KeyRecord,
    until: Instant,
    noted: Instant,
}

impl KeyRing {
    /// With the keys of a store.
    #[must_use]
    pub fn new(store: Arc<dyn KeyStore>) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// Where the keys are.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn KeyStore> {
        &self.store
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what it remembers, so that a key that was taken out of use opens nothing from now on.
    pub(crate) fn forget(&self) {
        self.known().clear();
    }

    async fn open(&self, secret: &str) -> Result<Caller> {
        let hash = hash(secret);
        let now = Instant::now();
        let mut to_note = None;
        let remembered = self.known().get_mut(&hash.0).filter(|known| known.until > now).map(|known| {
            if known.noted.elapsed() > NOTED_EVERY {
                known.noted = now;
                to_note = Some(known.key.id);
            }
            known.key.clone()
        });
        let key = match remembered {
            Some(key) => key,
            None => {
                let Some(key) = self.store.find_key(hash).await? else { return Err(unknown("the key opens nothing")) };
                to_note = Some(key.id);
                let mut known = self.known();
                if known.len() >= MOST_REMEMBERED {
                    known.clear();
                }
                known.insert(hash.0, Known { key: key.clone(), until: now + REMEMBERED, noted: now });
                key
            }
        };
        if key.revoked.is_some() {
            return Err(unknown("the key was taken out of use"));
        }
        if let Some(id) = to_note {
            let store = Arc::clone(&self.store);
            // That it was used is nice to know, and nothing that a request waits for.
            tokio::spawn(async move {
                if let Err(error) = store.note_key_uses(vec![(id, SystemTime::now())]).await {
                    tracing::warn!(%error, "the use of a key can't be noted");
                }
            });
        }
        Ok(Caller { project: key.project, role: key.role, name: key.name, key: Some(key.id) })
    }
}

fn unknown(message: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, "find out who asks", message)
        .with_hint("give a key as `Authorization: Bearer KEY`; `crucible keys create` makes one")
}

/// What a key is recognised by. It is long and random, so that a fast hash tells nothing of it.
#[must_use]
pub fn hash(secret: &str) -> KeyHash {
    KeyHash(*blake3::hash(secret.as_bytes()).as_bytes())
}

/// Makes a key: the secret, to be told once, and what is kept of it.
///
/// # Errors
/// `Infrastructure` where the machine gives no random bytes.
pub fn make_key(name: &str, project: ProjectId, role: Role) -> Result<(String, KeyRecord)> {
    let operation = "make a key";
    let is_sound = !name.trim().is_empty() && name.len() <= 100 && !name.chars().any(char::is_control);
    if !is_sound {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            operation,
            "name: it has 1 to 100 bytes, and no control characters",
        ));
    }
    let mut random = [0; RANDOM];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(ErrorKind::Infrastructure, operation, format!("no random bytes: {error}")))?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let record = KeyRecord {
        id: KeyId::generate(),
        project,
        hash: hash(&secret),
        role,
        name: name.to_owned(),
        created: SystemTime::now(),
        revoked: None,
        last_used: None,
    };
    Ok((secret, record))
}

impl Access {
    /// Finds out who asks, by the head of a request.
    ///
    /// # Errors
    /// `Unauthenticated` for no key or an unknown one; `Refused` for another site's request, where there are none.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Caller> {
        match self {
            Self::Local => {
                check_local(headers)?;
                Ok(Caller::local())
            }
            Self::Keys(ring) => ring.open(bearer(headers)?).await,
        }
    }
}

/// Finds out who asks, before anything else is done.
pub(crate) async fn identify(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> std::result::Result<Response, Problem> {
    let caller = api.access.identify(request.headers()).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Routes of another interface, for whoever is let in and has at least this role. Who that is lies in a request's extensions.
pub fn guarded(routes: Router, access: Access, least: Role) -> Router {
    let access = Arc::new(access);
    let guard = move |mut request: Request, next: Next| {
        let access = Arc::clone(&access);
        async move {
            let caller = access.identify(request.headers()).await?;
            caller.needs(least)?;
            request.extensions_mut().insert(caller);
            Ok::<_, Problem>(next.run(request).await)
        }
    };
    routes.layer(middleware::from_fn(guard))
}

fn bearer(headers: &HeaderMap) -> Result<&str> {
    let value = headers.get(header::AUTHORIZATION).ok_or_else(|| unknown("there is no key"))?;
    let text = value.to_str().map_err(|_| unknown("the key can't be read"))?;
    match text.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(key.trim()),
        _ => Err(unknown("Authorization holds no bearer key")),
    }
}

/// Refuses what a page of somebody else could have a browser ask: a name that only leads here, or another page's request.
fn check_local(headers: &HeaderMap) -> Result<()> {
    let refuse = |message: String| {
        Err(Error::new(ErrorKind::Refused, "find out who asks", message)
            .with_hint("without keys the service answers to localhost alone; start it with --auth keys"))
    };
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(host) = text(header::HOST)
        && !is_local(host)
    {
        return refuse(format!("Host: {:?} is no name of this machine", shown(host)));
    }
    if let Some(origin) = text(header::ORIGIN) {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if authority.is_none_or(|authority| !is_local(authority)) {
            return refuse(format!("Origin: {:?} is another site", shown(origin)));
        }
    }
    Ok(())
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

fn is_local(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn without_keys_no_other_site_and_no_other_name_is_answered() {
        let check = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
            }
            check_local(&headers).is_ok()
        };
        for host in ["localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST", "127.3.2.1"] {
            assert!(check(host, None), "{host}");
            assert!(check(host, Some("http://localhost:8080")), "{host}");
            assert!(!check(host, Some("https://example.org")), "{host}");
            assert!(!check(host, Some("null")), "{host}");
        }
        for host in ["example.org", "crucible", "localhost.example.org", "10.0.0.1:8080", "[2001:db8::1]:8080", ""] {
            assert!(!check(host, None), "{host}");
        }
    }

    #[test]
    fn a_key_is_told_once_and_kept_as_its_hash() {
        let (secret, record) = make_key("ci", ProjectId::default(), Role::Submitter).unwrap();
        assert!(secret.starts_with(PREFIX) && secret.len() > PREFIX.len() + 40);
        assert_eq!(hash(&secret), record.hash);
        assert!(!format!("{record:?}").contains(&secret));
        assert!(make_key(" ", ProjectId::default(), Role::Viewer).is_err());
        assert!(make_key("a\nb", ProjectId::default(), Role::Viewer).is_err());
    }
}
