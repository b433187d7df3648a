//! Files as the SDK looks at them: by what the sandbox's own `find` says, because an interface that tells of times and modes is
//! more than Crucible's files have.
//!
//! Invariant: whatever the sandbox's programs say is its own word about itself; it is bounded and read as such. Watching is looking
//! again: what comes and goes between two looks isn't told.

use crate::E2b;
use crate::connect::{Failure, PLACES, Piece, read, read_enveloped, stream};
use crate::opened::{Opened, Unreachable};
use crate::process::{place, user};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use crucible_core::{GuestPath, Status, TimeSpan};
use crucible_engine::{CommandFinished, ExecSpec, OutputBound};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// The most bytes that a look may bring.
const MOST_SEEN: u64 = 8 << 20;
/// How long a look, or a change, may take.
const PATIENCE: TimeSpan = TimeSpan::secs(30);
/// How often a watched folder is looked at.
const LOOKED_EVERY: Duration = Duration::from_millis(300);
/// Watchers of one sandbox.
const MOST_WATCHERS: usize = 64;
/// What `find` is to say of each file, each followed by a zero byte: path below, kind, kind of what a link leads to, size, mode,
/// mode in letters, owner, group, time of change, where a link leads, inode.
const FIELDS: &str = r"%P\0%y\0%Y\0%s\0%m\0%M\0%u\0%g\0%T@\0%l\0%i\0";
const COUNT: usize = 11;

/// What was seen of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    below: String,
    kind: String,
    target_kind: String,
    size: String,
    mode: String,
    permissions: String,
    owner: String,
    group: String,
    changed: String,
    target: String,
    inode: String,
}

impl Seen {
    fn document(&self, root: &str) -> Value {
        let path = match self.below.as_str() {
            "" => root.to_owned(),
            below => format!("{}/{below}", root.trim_end_matches('/')),
        };
        let kind = match self.target_kind.as_str() {
            "f" => "FILE_TYPE_FILE",
            "d" => "FILE_TYPE_DIRECTORY",
            _ if self.kind == "l" => "FILE_TYPE_SYMLINK",
            _ => "FILE_TYPE_UNSPECIFIED",
        };
        let (seconds, fraction) = self.changed.split_once('.').unwrap_or((&self.changed, "0"));
        let seconds = seconds.parse().unwrap_or(0);
        let nanoseconds = fraction.get(..9).unwrap_or(fraction).parse().unwrap_or(0);
        let changed = std::time::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        let mut document = json!({
            "name": path.rsplit('/').next().unwrap_or_default(),
            "type": kind,
            "path": path,
            "size": self.size,
            "mode": u32::from_str_radix(&self.mode, 8).unwrap_or(0),
            "permissions": self.permissions,
            "owner": self.owner,
            "group": self.group,
            "modifiedTime": crucible_core::rfc3339(changed),
        });
        if self.kind == "l"
            && let Some(document) = document.as_object_mut()
        {
            document.insert("isSymlink".to_owned(), true.into());
            document.insert("symlinkTarget".to_owned(), self.target.as_str().into());
        }
        document
    }
}

fn parse(bytes: &[u8]) -> Vec<Seen> {
    let fields: Vec<_> =
        bytes.split(|byte| *byte == 0).map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    let entry = |fields: &[String]| {
        let [below, kind, target_kind, size, mode, permissions, owner, group, changed, target, inode] = fields else {
            return None;
        };
        Some(Seen {
            below: below.clone(),
            kind: kind.clone(),
            target_kind: target_kind.clone(),
            size: size.clone(),
            mode: mode.clone(),
            permissions: permissions.clone(),
            owner: owner.clone(),
            group: group.clone(),
            changed: changed.clone(),
            target: target.clone(),
            inode: inode.clone(),
        })
    };
    fields.chunks_exact(COUNT).filter_map(entry).collect()
}

/// Runs a program of the sandbox that is soon done.
async fn run(opened: &Opened, user: Option<String>, argv: &[&str]) -> Result<CommandFinished, Failure> {
    let argv = argv.iter().map(|&word| word.to_owned()).collect();
    let spec = ExecSpec { user, timeout: Some(PATIENCE), output: OutputBound::Bytes(MOST_SEEN), ..ExecSpec::new(argv) };
    Ok(opened.session.run(spec, Box::new(tokio::io::empty())).await?)
}

/// The same for one that must succeed.
async fn well(opened: &Opened, user: Option<String>, argv: &[&str]) -> Result<(), Failure> {
    let finished = run(opened, user, argv).await?;
    if finished.ended.status == (Status::Exited { code: 0 }) {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&finished.stderr.bytes).chars().take(500).collect();
    let code = if said.contains("No such file") { "not_found" } else { "internal" };
    Err(Failure::new(code, said.trim().to_owned()))
}

/// What is at a path and below it, so many levels deep. Itself comes first.
async fn look(opened: &Opened, path: &GuestPath, depth: Option<u32>) -> Result<Vec<Seen>, Failure> {
    let depth = depth.map(|depth| depth.to_string());
    let mut argv = vec!["find", path.as_str()];
    if let Some(depth) = &depth {
        argv.extend(["-maxdepth", depth]);
    }
    argv.extend(["-printf", FIELDS]);
    let finished = run(opened, None, &argv).await?;
    let seen = parse(&finished.stdout.bytes);
    if seen.is_empty() {
        let said: String = String::from_utf8_lossy(&finished.stderr.bytes).chars().take(300).collect();
        return Err(match said.contains("No such file") {
            true => Failure::new("not_found", format!("path not found: {path}")),
            false => Failure::new("internal", format!("the sandbox can't be looked into: {}", said.trim())),
        });
    }
    Ok(seen)
}

async fn entry(opened: &Opened, path: &GuestPath) -> Result<Value, Failure> {
    let seen = look(opened, path, Some(0)).await?;
    seen.first().map(|seen| seen.document(path.as_str())).ok_or_else(|| Failure::new("not_found", "path not found"))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OfPath {
    path: String,
    depth: u32,
    source: String,
    destination: String,
    recursive: bool,
    watcher_id: String,
}

/// Answers one call about files.
async fn answer(
    e2b: &E2b,
    headers: &HeaderMap,
    body: &Bytes,
    work: impl AsyncFnOnce(&Arc<Opened>, OfPath, Option<String>) -> Result<Value, Failure>,
) -> Result<Response, Unreachable> {
    let opened = e2b.reached(headers).await?;
    let done = async {
        let user = user(headers)?;
        work(&opened, read(body)?, user).await
    };
    Ok(match done.await {
        Ok(value) => Json(value).into_response(),
        Err(failure) => failure.into_response(),
    })
}

pub(crate) async fn stat(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Result<Response, Unreachable> {
    answer(&e2b, &headers, &body, async |opened, request, _| {
        Ok(json!({"entry": entry(opened, &place(&request.path)?).await?}))
    })
    .await
}

pub(crate) async fn list_dir(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Result<Response, Unreachable> {
    answer(&e2b, &headers, &body, async |opened, request, _| {
        let path = place(&request.path)?;
        let seen = look(opened, &path, Some(request.depth.max(1))).await?;
        let Some((folder, entries)) = seen.split_first() else { return Ok(json!({"entries": []})) };
        if folder.kind != "d" {
            return Err(Failure::invalid(format!("path is not a directory: {path}")));
        }
        let entries: Vec<_> = entries.iter().map(|seen| seen.document(path.as_str())).collect();
        Ok(json!({"entries": entries}))
    })
    .await
}

pub(crate) async fn make_dir(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Result<Response, Unreachable> {
    answer(&e2b, &headers, &body, async |opened, request, user| {
        let path = place(&request.path)?;
        if look(opened, &path, Some(0)).await.is_ok() {
            return Err(Failure::new("already_exists", format!("there is something at {path} already")));
        }
        well(opened, user, &["mkdir", "-p", "--", path.as_str()]).await?;
        Ok(json!({"entry": entry(opened, &path).await?}))
    })
    .await
}

pub(crate) async fn rename(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Result<Response, Unreachable> {
    answer(&e2b, &headers, &body, async |opened, request, user| {
        let (from, to) = (place(&request.source)?, place(&request.destination)?);
        let script = r#"mkdir -p -- "$(dirname -- "$2")" && mv -T -- "$1" "$2""#;
        well(opened, user, &["sh", "-c", script, "sh", from.as_str(), to.as_str()]).await?;
        Ok(json!({"entry": entry(opened, &to).await?}))
    })
    .await
}

pub(crate) async fn remove(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Result<Response, Unreachable> {
    answer(&e2b, &headers, &body, async |opened, request, user| {
        let path = place(&request.path)?;
        well(opened, user, &["rm", "-rf", "--", path.as_str()]).await?;
        Ok(json!({}))
    })
    .await
}

/// The watchers of a sandbox.
#[derive(Default)]
pub(crate) struct Watchers {
    known: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Watched>>>>,
    last: AtomicU64,
}

/// A folder that is watched.
struct Watched {
    path: GuestPath,
    depth: Option<u32>,
    /// By the path below the folder.
    before: BTreeMap<String, Seen>,
}

impl Watched {
    async fn begin(opened: &Opened, path: &str, recursive: bool) -> Result<Self, Failure> {
        let path = place(path)?;
        let depth = (!recursive).then_some(1);
        let seen = look(opened, &path, depth).await?;
        if seen.first().is_none_or(|folder| folder.kind != "d") {
            return Err(Failure::invalid(format!("path is not a directory: {path}")));
        }
        Ok(Self { path, depth, before: by_path(seen) })
    }

    /// What has changed since the last look.
    async fn events(&mut self, opened: &Opened) -> Result<Vec<Value>, Failure> {
        let now = by_path(look(opened, &self.path, self.depth).await?);
        let events = differences(&self.before, &now);
        self.before = now;
        Ok(events.into_iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect())
    }
}

fn by_path(seen: Vec<Seen>) -> BTreeMap<String, Seen> {
    seen.into_iter().filter(|seen| !seen.below.is_empty()).map(|seen| (seen.below.clone(), seen)).collect()
}

/// What happened between two looks, in the SDK's words.
fn differences(before: &BTreeMap<String, Seen>, now: &BTreeMap<String, Seen>) -> Vec<(String, &'static str)> {
    let is_new = |name: &String| !before.contains_key(name);
    let mut events = Vec::new();
    for (name, was) in before.iter().filter(|(name, _)| !now.contains_key(*name)) {
        let moved = now.iter().any(|(other, is)| is_new(other) && is.inode == was.inode && is.kind == was.kind);
        events.push((name.clone(), if moved { "EVENT_TYPE_RENAME" } else { "EVENT_TYPE_REMOVE" }));
    }
    for (name, is) in now {
        match before.get(name) {
            None => {
                events.push((name.clone(), "EVENT_TYPE_CREATE"));
                let moved = before.iter().any(|(other, was)| !now.contains_key(other) && was.inode == is.inode);
                if is.kind == "f" && is.size != "0" && !moved {
                    events.push((name.clone(), "EVENT_TYPE_WRITE"));
                }
            }
            Some(was)
                if is.kind == "f" && (was.size != is.size || was.changed != is.changed || was.inode != is.inode) =>
            {
                events.push((name.clone(), "EVENT_TYPE_WRITE"));
            }
            Some(was) if was.mode != is.mode => events.push((name.clone(), "EVENT_TYPE_CHMOD")),
            Some(_) => {}
        }
    }
    events
}

pub(crate) async fn create_watcher(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Unreachable> {
    answer(&e2b, &headers, &body, async |opened, request, _| {
        let watched = Watched::begin(opened, &request.path, request.recursive).await?;
        let id = format!("w{}", opened.watchers.last.fetch_add(1, Ordering::Relaxed) + 1);
        let mut known = opened.watchers.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_WATCHERS {
            return Err(Failure::new("resource_exhausted", format!("{MOST_WATCHERS} folders are watched already")));
        }
        known.insert(id.clone(), Arc::new(tokio::sync::Mutex::new(watched)));
        Ok(json!({"watcherId": id}))
    })
    .await
}

pub(crate) async fn watcher_events(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Unreachable> {
    answer(&e2b, &headers, &body, async |opened, request, _| {
        let watched = {
            let known = opened.watchers.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&request.watcher_id).cloned()
        };
        let watched = watched.ok_or_else(|| Failure::new("not_found", "there is no such watcher"))?;
        let events = watched.lock().await.events(opened).await?;
        Ok(json!({"events": events}))
    })
    .await
}

pub(crate) async fn remove_watcher(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Unreachable> {
    answer(&e2b, &headers, &body, async |opened, request, _| {
        let mut known = opened.watchers.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&request.watcher_id).ok_or_else(|| Failure::new("not_found", "there is no such watcher"))?;
        Ok(json!({}))
    })
    .await
}

/// Tells what changes in a folder until nobody listens any more.
pub(crate) async fn watch_dir(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Unreachable> {
    let opened = e2b.reached(&headers).await?;
    let (sender, pieces) = mpsc::channel(PLACES);
    tokio::spawn(async move {
        let watch = async {
            let request: OfPath = read_enveloped(&body)?;
            let mut watched = Watched::begin(&opened, &request.path, request.recursive).await?;
            let mut told = sender.send(Piece::Message(json!({"start": {}}))).await.is_ok();
            while told {
                tokio::select! {
                    () = sender.closed() => return Ok(()),
                    () = tokio::time::sleep(LOOKED_EVERY) => {}
                }
                for event in watched.events(&opened).await? {
                    told = sender.send(Piece::Message(json!({"filesystem": event}))).await.is_ok();
                }
            }
            Ok(())
        };
        let ended = watch.await;
        let _told = sender.send(Piece::End(ended)).await.is_ok();
    });
    Ok(stream(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rows: &[[&str; 5]]) -> BTreeMap<String, Seen> {
        let mut bytes = Vec::new();
        for [below, size, mode, changed, inode] in rows {
            for field in [below, "f", "f", size, mode, "-rw-r--r--", "u", "g", changed, "", inode] {
                bytes.extend_from_slice(field.as_bytes());
                bytes.push(0);
            }
        }
        by_path(parse(&bytes))
    }

    #[test]
    fn what_changed_between_two_looks_is_told() {
        let before = seen(&[
            ["kept", "1", "644", "1.0", "1"],
            ["gone", "1", "644", "1.0", "2"],
            ["old", "1", "644", "1.0", "3"],
            ["mode", "1", "644", "1.0", "4"],
        ]);
        let now = seen(&[
            ["kept", "2", "644", "2.0", "1"],
            ["made", "5", "644", "1.0", "9"],
            ["new", "1", "644", "1.0", "3"],
            ["mode", "1", "600", "1.0", "4"],
        ]);
        let told = differences(&before, &now);
        let expected = [
            ("gone", "EVENT_TYPE_REMOVE"),
            ("old", "EVENT_TYPE_RENAME"),
            ("kept", "EVENT_TYPE_WRITE"),
            ("made", "EVENT_TYPE_CREATE"),
            ("made", "EVENT_TYPE_WRITE"),
            ("mode", "EVENT_TYPE_CHMOD"),
            ("new", "EVENT_TYPE_CREATE"),
        ];
        assert_eq!(told, expected.map(|(name, kind)| (name.to_owned(), kind)));
        assert!(differences(&now, &now).is_empty());
    }

    #[test]
    fn an_entry_is_told_in_the_sdks_words() {
        let all = seen(&[["a/b", "5", "644", "1700000000.5000000000", "1"]]);
        let document = all["a/b"].document("/work");
        assert_eq!(
            (&document["path"], &document["name"], &document["size"]),
            (&json!("/work/a/b"), &json!("b"), &json!("5"))
        );
        assert_eq!((&document["mode"], &document["type"]), (&json!(0o644), &json!("FILE_TYPE_FILE")));
        assert!(document["modifiedTime"].as_str().unwrap().starts_with("2023-11-14T22:13:20"));
        assert!(parse(b"cut\0off").is_empty());
    }
}
