//! Tenants: projects with their quotas, and the keys that open them.
//!
//! Invariant: a key is known by its hash alone; nothing here holds what would open a project. What somebody of one project
//! asks about another's things is answered as if they weren't there; that is the stores'.

use crate::component::Component;
use crate::error::{Error, ErrorKind, Result};
use crate::id::KeyId;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

/// Whose an evaluation is. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectId(Arc<str>);

impl ProjectId {
    /// Bytes of the longest name.
    pub const LONGEST: usize = 64;
    /// Whose things are that nobody named a project for.
    pub const DEFAULT: &'static str = "default";

    /// The name as text: small ASCII letters, digits and `-_.`, a letter or digit first.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ProjectId {
    fn default() -> Self {
        Self(Arc::from(Self::DEFAULT))
    }
}

impl FromStr for ProjectId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let begins_well = text.bytes().next().is_some_and(is_plain);
        if begins_well
            && text.len() <= Self::LONGEST
            && text.bytes().all(|byte| is_plain(byte) || b"-_.".contains(&byte))
        {
            return Ok(Self(Arc::from(text)));
        }
        let shown: String = text.chars().take(64).collect();
        let hint = format!(
            "a project's name has 1 to {} small ASCII letters, digits, or any of -_., and begins with a letter or digit",
            Self::LONGEST
        );
        Err(Error::new(ErrorKind::InvalidInput, "read a project", format!("{shown:?} can't be a project"))
            .with_hint(hint))
    }
}

impl TryFrom<String> for ProjectId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ProjectId> for String {
    fn from(project: ProjectId) -> Self {
        project.as_str().to_owned()
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The most that a project may have; `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Evaluations that run at one time.
    pub most_running: Option<u32>,
    /// Evaluations that wait at one time.
    pub most_queued: Option<u64>,
    /// Evaluations accepted in a day.
    pub most_per_day: Option<u64>,
}

/// What a key may do. Each role may do all that those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read.
    Viewer,
    /// Submit and cancel.
    Submitter,
    /// Decide about what is held.
    Reviewer,
    /// Everything, for all projects.
    Admin,
}

impl Role {
    /// All, the least powerful first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Submitter, Self::Reviewer, Self::Admin];

    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Reviewer => "reviewer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "read a role", format!("there is no role {text:?}"))
                .with_hint("the roles are viewer, submitter, reviewer and admin")
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a key is recognised by: a hash of it. The key itself is long and random, so that a fast hash serves.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// The project that it opens.
    pub project: ProjectId,
    /// What it is recognised by.
    pub hash: KeyHash,
    /// What it may do.
    pub role: Role,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created: SystemTime,
    /// Since when it opens nothing any more.
    pub revoked: Option<SystemTime>,
    /// When it was last used, to within a minute or so.
    pub last_used: Option<SystemTime>,
}

/// Keeps keys.
#[async_trait]
pub trait KeyStore: Component {
    /// Keeps one.
    ///
    /// # Errors
    /// `InvalidInput` where the id or the hash is there already, or the name is too long; `Io`.
    async fn add_key(&self, key: KeyRecord) -> Result<()>;

    /// The key with that hash, revoked or not.
    ///
    /// # Errors
    /// `Io`.
    async fn find_key(&self, hash: KeyHash) -> Result<Option<KeyRecord>>;

    /// Those of a project, or all, the oldest first.
    ///
    /// # Errors
    /// `Io`.
    async fn keys(&self, project: Option<&ProjectId>) -> Result<Vec<KeyRecord>>;

    /// Takes a key out of use. One that is out of use stays as it was.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    async fn revoke_key(&self, id: KeyId, at: SystemTime) -> Result<()>;

    /// Notes that keys were used. What isn't known is passed over.
    ///
    /// # Errors
    /// `Io`.
    async fn note_key_uses(&self, uses: Vec<(KeyId, SystemTime)>) -> Result<()>;
}

/// Keeps what projects may have.
#[async_trait]
pub trait ProjectStore: Component {
    /// A project's quotas; `None` where nothing was set.
    ///
    /// # Errors
    /// `Io`.
    async fn quotas(&self, project: &ProjectId) -> Result<Option<Quotas>>;

    /// Sets them, in the place of those before.
    ///
    /// # Errors
    /// `Io`.
    async fn set_quotas(&self, project: &ProjectId, quotas: Quotas) -> Result<()>;

    /// All projects with quotas of their own, by name.
    ///
    /// # Errors
    /// `Io`.
    async fn projects(&self) -> Result<Vec<(ProjectId, Quotas)>>;
}

#[cfg(test)]
mod tests {
    use super::{ProjectId, Role};

    #[test]
    fn a_projects_name_is_plain_or_none() {
        for good in ["default", "a", "team-7", "0.x_y"] {
            assert_eq!(good.parse::<ProjectId>().unwrap().as_str(), good);
        }
        for bad in ["", "Team", "-a", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<ProjectId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_role_reads_back() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        assert!(Role::Admin > Role::Reviewer && Role::Submitter > Role::Viewer);
    }
}
