//! `crucible keys`: makes, lists and revokes keys, in this machine's own folder or by asking a service.

use super::{client, runtime, store};
use crate::arguments::{KeysCreateArguments, KeysListArguments, KeysPlace, KeysRevokeArguments, KeysVerb};
use crate::exit::Exit;
use crate::output;
use crucible_api::client::Client;
use crucible_api::v1::{CreateKey, CreatedKey, KeyList};
use crucible_core::{Error, ErrorKind, KeyStore, Result};
use crucible_server::{key_document, make_key};
use crucible_state::sqlite::SqliteStore;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

/// Where keys are.
enum Keys {
    Here(Arc<SqliteStore>),
    There(Client),
}

/// Does what was asked for.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn keys(verb: &KeysVerb) -> Result<Exit> {
    match verb {
        KeysVerb::Create(arguments) => create(arguments),
        KeysVerb::List(arguments) => list(arguments),
        KeysVerb::Revoke(arguments) => revoke(arguments),
    }
}

impl Keys {
    /// The first key may be there before the service.
    fn of(place: &KeysPlace) -> Result<Self> {
        if let Some(server) = &place.server {
            return client::client(Some(server)).map(Self::There);
        }
        let opened = store::open_or_make(&place.data);
        opened.map(Self::Here).map_err(|error| match error.kind() {
            ErrorKind::Unavailable => Error::new(error.kind(), error.operation(), error.to_string())
                .with_hint("if the service runs, ask it: --server http://127.0.0.1:8080, with an administrator's key"),
            _ => error,
        })
    }
}

fn create(arguments: &KeysCreateArguments) -> Result<Exit> {
    let KeysCreateArguments { name, role, project, place } = arguments;
    let created = match Keys::of(place)? {
        Keys::Here(store) => {
            let (secret, record) = make_key(name, project.clone(), *role)?;
            runtime()?.block_on(store.add_key(record.clone()))?;
            CreatedKey { secret, key: key_document(&record) }
        }
        Keys::There(client) => {
            let key = CreateKey { name: name.clone(), role: role.to_string(), project: Some(project.to_string()) };
            runtime()?.block_on(client.create_key(&key))?
        }
    };
    if place.json {
        return output::json(&created);
    }
    let shown = output::data(&format!("{}\n", output::neutral(&created.secret)))?;
    output::note("this is told once; show it as CRUCIBLE_KEY, or as `Authorization: Bearer KEY`", false);
    Ok(shown)
}

fn list(arguments: &KeysListArguments) -> Result<Exit> {
    let keys = match Keys::of(&arguments.place)? {
        Keys::Here(store) => {
            let keys = runtime()?.block_on(store.keys(None))?;
            KeyList { keys: keys.iter().map(key_document).collect() }
        }
        Keys::There(client) => runtime()?.block_on(client.keys())?,
    };
    if arguments.place.json {
        return output::json(&keys);
    }
    let mut text = String::new();
    for key in &keys.keys {
        let state = match (&key.revoked_at, &key.last_used_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) => format!("last used {at}"),
            (None, None) => "never used".to_owned(),
        };
        // Writing to a text never fails.
        let _ =
            writeln!(text, "{}  {:9}  {:12}  {}  ({state})", key.id, key.role, key.project, output::neutral(&key.name));
    }
    output::data(&text)
}

fn revoke(arguments: &KeysRevokeArguments) -> Result<Exit> {
    let keys = Keys::of(&arguments.place)?;
    let runtime = runtime()?;
    for id in &arguments.ids {
        match &keys {
            Keys::Here(store) => {
                let id = id
                    .parse()
                    .map_err(|_| Error::new(ErrorKind::NotFound, "find the key", format!("there is no key {id:?}")))?;
                runtime.block_on(store.revoke_key(id, SystemTime::now()))?;
            }
            Keys::There(client) => runtime.block_on(client.revoke_key(id))?,
        }
    }
    Ok(Exit::Success)
}
