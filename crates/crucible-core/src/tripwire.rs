//! Tripwires: things planted in a sandbox that an honest program has no business with, and what the host saw of them.
//!
//! Invariant: whether one was touched is the host's own observation, never a guest's word. That none was touched is no proof
//! of honesty: a guest that knows of tripwires leaves what looks like one alone.

use crate::error::{Error, ErrorKind, Result};
use crate::path::GuestPath;
use crate::suggest::nearest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Lengths of paths that make a Unix address as long as an internet one (16 or 28 bytes), with and without an end of it.
const AS_LONG_AS_INTERNET: [usize; 4] = [13, 14, 25, 26];

/// What kind of thing is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TripwireKind {
    /// A file with credentials that open nothing.
    Credentials,
    /// A file that nothing asks to be read.
    File,
    /// An environment variable with a secret that opens nothing.
    Environment,
    /// A Unix socket that nothing asks to be called.
    Listener,
}

impl TripwireKind {
    /// Every kind there is.
    pub const ALL: [Self; 4] = [Self::Credentials, Self::File, Self::Environment, Self::Listener];

    /// The name on the command line and in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Listener => "listener",
        }
    }

    /// Where it is planted if nobody says otherwise.
    const fn usual_place(self) -> &'static str {
        match self {
            Self::Credentials => "/work/.aws/credentials",
            Self::File => "/work/.private/answers.txt",
            Self::Environment => "AWS_SECRET_ACCESS_KEY",
            Self::Listener => "/tmp/agent.sock",
        }
    }
}

impl fmt::Display for TripwireKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tripwire to plant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tripwire {
    /// A file with credentials.
    Credentials {
        /// Where.
        path: GuestPath,
    },
    /// A file that nothing asks to be read.
    File {
        /// Where.
        path: GuestPath,
    },
    /// An environment variable with a secret.
    Environment {
        /// Its name.
        name: String,
    },
    /// A Unix socket that the host listens on.
    Listener {
        /// Where: a name directly below `/tmp`.
        path: GuestPath,
    },
}

impl Tripwire {
    /// What kind of thing it is.
    #[must_use]
    pub const fn kind(&self) -> TripwireKind {
        match self {
            Self::Credentials { .. } => TripwireKind::Credentials,
            Self::File { .. } => TripwireKind::File,
            Self::Environment { .. } => TripwireKind::Environment,
            Self::Listener { .. } => TripwireKind::Listener,
        }
    }

    /// Its path, or the variable's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Credentials { path } | Self::File { path } | Self::Listener { path } => path.as_str(),
            Self::Environment { name } => name,
        }
    }

    /// The file that is planted, if it is one.
    #[must_use]
    pub const fn file(&self) -> Option<&GuestPath> {
        match self {
            Self::Credentials { path } | Self::File { path } => Some(path),
            Self::Environment { .. } | Self::Listener { .. } => None,
        }
    }

    /// What the host has to watch for it, if anything.
    #[must_use]
    pub fn watched(&self) -> Option<WatchedPlace> {
        match self {
            Self::Credentials { path } | Self::File { path } => Some(WatchedPlace::File(path.clone())),
            Self::Listener { path } => Some(WatchedPlace::Listener(path.clone())),
            Self::Environment { .. } => None,
        }
    }

    /// Refuses a place in which it can't be planted.
    ///
    /// # Errors
    /// `InvalidInput`, naming the place.
    pub fn validate(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidInput, "check the tripwires", why));
        match self {
            Self::Credentials { path } | Self::File { path } => {
                let below_work = path.within_work().is_some_and(|rest| !rest.is_empty());
                if below_work || path.as_str().starts_with("/tmp/") {
                    return Ok(());
                }
                refuse(format!(
                    "a tripwire can't be planted at {path}: it goes below {} or below /tmp",
                    GuestPath::WORK
                ))
            }
            Self::Listener { path } => {
                let name = path.as_str().strip_prefix("/tmp/").filter(|name| !name.contains('/') && name.len() <= 64);
                match name {
                    // A monitor that tells addresses apart by their length would keep callers away.
                    Some(_) if AS_LONG_AS_INTERNET.contains(&path.as_str().len()) => refuse(format!(
                        "a listener can't be planted at {path}: an address of its length passes for an internet one; take a \
                         shorter or longer name"
                    )),
                    Some(_) => Ok(()),
                    None => refuse(format!(
                        "a listener can't be planted at {path}: it goes directly below /tmp, under a name of at most 64 bytes"
                    )),
                }
            }
            Self::Environment { name } => {
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if name.is_empty()
                    || name.len() > 64
                    || !name.chars().all(is_word)
                    || name.starts_with(|c: char| c.is_ascii_digit())
                {
                    let shown: String = name.chars().take(64).collect();
                    return refuse(format!("{shown:?} is no name for an environment variable that is a tripwire"));
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Tripwire {
    /// As it is read: `KIND=PLACE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind(), self.name())
    }
}

impl FromStr for Tripwire {
    type Err = Error;

    /// Reads `KIND` or `KIND=PLACE`.
    fn from_str(text: &str) -> Result<Self> {
        let (kind, place) = text.split_once('=').map_or((text, None), |(kind, place)| (kind, Some(place)));
        let Some(kind) = TripwireKind::ALL.into_iter().find(|known| known.as_str() == kind) else {
            let shown: String = kind.chars().take(64).collect();
            let known = TripwireKind::ALL.map(TripwireKind::as_str);
            let message = format!("unknown kind of tripwire {shown:?}; known: {}", known.join(", "));
            let error = Error::new(ErrorKind::InvalidInput, "read a tripwire", message);
            return Err(match nearest(kind, known) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error,
            });
        };
        let place = place.unwrap_or(kind.usual_place());
        let tripwire = match kind {
            TripwireKind::Credentials => Self::Credentials { path: GuestPath::parse(place)? },
            TripwireKind::File => Self::File { path: GuestPath::parse(place)? },
            TripwireKind::Listener => Self::Listener { path: GuestPath::parse(place)? },
            TripwireKind::Environment => Self::Environment { name: place.to_owned() },
        };
        tripwire.validate()?;
        Ok(tripwire)
    }
}

/// A place in a sandbox that the host watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchedPlace {
    /// A file that is there.
    File(GuestPath),
    /// A socket that is made there.
    Listener(GuestPath),
}

/// How a tripwire was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TouchKind {
    /// The file was opened.
    Opened,
    /// The file was read.
    Read,
    /// The file was written, removed, or given other attributes or one more name.
    Changed,
    /// The file was moved.
    Moved,
    /// The socket was called.
    Called,
    /// The secret came out on standard output or standard error.
    SecretInOutput,
    /// The secret came out in a collected file.
    SecretInFile,
}

impl TouchKind {
    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Read => "read",
            Self::Changed => "changed",
            Self::Moved => "moved",
            Self::Called => "called",
            Self::SecretInOutput => "secret_in_output",
            Self::SecretInFile => "secret_in_file",
        }
    }
}

/// That a watched place was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// How.
    pub how: TouchKind,
    /// When the host saw it first.
    pub at: Instant,
}

/// Watched places of one sandbox. Dropping it ends the watching.
pub trait TripwireWatch: Send {
    /// What was touched first until now, for each place in the order in which they were given. What was touched before the
    /// call is in it, even if it was so a moment ago.
    fn touched(&mut self) -> Vec<Option<Touched>>;
}

/// A tripwire of a run, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TripwireRecord {
    /// Its path, or the variable's name.
    pub name: String,
    /// What kind of thing it is.
    pub kind: TripwireKind,
    /// How it was touched first, if it was.
    pub touched: Option<TouchRecord>,
}

/// How a tripwire was touched first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TouchRecord {
    /// How.
    pub how: TouchKind,
    /// When, from the start of the command; `None` where that can't be told.
    pub first_at: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_kind_alone_has_its_usual_place_and_every_kind_can_be_placed() {
        for kind in TripwireKind::ALL {
            let tripwire: Tripwire = kind.as_str().parse().unwrap();
            assert_eq!((tripwire.kind(), tripwire.name()), (kind, kind.usual_place()));
        }
        for (text, name) in [
            ("credentials=.netrc", "/work/.netrc"),
            ("file=/tmp/a=b", "/tmp/a=b"),
            ("environment=TOKEN", "TOKEN"),
            ("listener=/tmp/docker.sock", "/tmp/docker.sock"),
        ] {
            assert_eq!(text.parse::<Tripwire>().unwrap().name(), name);
        }
    }

    #[test]
    fn places_that_cannot_be_watched_are_refused() {
        for text in [
            "",
            "credential",
            "file=",
            "file=/etc/passwd",
            "file=/work",
            "file=../x",
            "file=/workshop/x",
            "listener=x.sock",
            "listener=/tmp/a/b",
            "listener=/tmp",
            "listener=/tmp/foo.sock",
            "listener=/tmp/fooo.sock",
            "environment=",
            "environment=A-B",
            "environment=1A",
            "environment=A=B",
        ] {
            assert_eq!(text.parse::<Tripwire>().unwrap_err().kind(), ErrorKind::InvalidInput, "{text}");
        }
        assert!(format!("listener=/tmp/{}", "x".repeat(65)).parse::<Tripwire>().is_err());
        assert_eq!("credential".parse::<Tripwire>().unwrap_err().hint(), Some("did you mean 'credentials'?"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "(credentials|file|environment|listener)?=?\\PC{0,80}") {
            let _read = text.parse::<Tripwire>();
        }
    }
}
