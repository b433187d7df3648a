//! What was seen of one sandbox, kept within bounds.

use super::processes::Ears;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// The most things that are told apart in one sandbox.
const MOST_SIGHTINGS: usize = 256;

/// What kind of thing was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A program was started. The name is its command line.
    ProgramStarted,
    /// A system call was refused. The name is the call's.
    CallRefused,
    /// A connection was refused. The name is the address.
    ConnectionRefused,
    /// Taking an address was refused. The name is the address.
    BindRefused,
    /// Sending to an address was refused. The name is the address.
    SendRefused,
    /// A file was opened that programs of its language don't open. The name is its path.
    FileOpened,
    /// More happened than is kept. The name is what.
    Flooded,
}

impl Kind {
    const fn plural(self) -> &'static str {
        match self {
            Self::ProgramStarted => "programs started",
            Self::CallRefused => "system calls refused",
            Self::ConnectionRefused => "connections refused",
            Self::BindRefused => "addresses refused",
            Self::SendRefused => "messages refused",
            Self::FileOpened => "files opened",
            Self::Flooded => "events",
        }
    }
}

/// Whose word a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The kernel's.
    Kernel,
    /// The guest's.
    Guest,
}

/// Something that was seen, with how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What kind of thing.
    pub kind: Kind,
    /// Which. Bounded, and printable.
    pub name: String,
    /// Whose word the name is.
    pub word: Word,
    /// The first time.
    pub first: Instant,
    /// How often.
    pub count: u64,
}

/// What was seen of one sandbox.
#[derive(Default)]
pub(in crate::host) struct Record {
    seen: Mutex<Seen>,
    news: Notify,
}

#[derive(Default)]
struct Seen {
    sightings: Vec<Sighting>,
    by_name: BTreeMap<(Kind, String), usize>,
}

impl Record {
    /// Notes something that was seen now.
    pub(super) fn note(&self, kind: Kind, name: &str, word: Word) {
        let mut seen = self.lock();
        let mut key = (kind, name.to_owned());
        let mut known = seen.by_name.get(&key).copied();
        let mut word = word;
        // One more place for each kind that floods.
        if known.is_none() && seen.by_name.len() >= MOST_SIGHTINGS {
            (key, word) = ((Kind::Flooded, kind.plural().to_owned()), Word::Kernel);
            known = seen.by_name.get(&key).copied();
        }
        if let Some(sighting) = known.and_then(|index| seen.sightings.get_mut(index)) {
            sighting.count = sighting.count.saturating_add(1);
            return;
        }
        let index = seen.sightings.len();
        let (kind, name) = key.clone();
        seen.sightings.push(Sighting { kind, name, word, first: Instant::now(), count: 1 });
        seen.by_name.insert(key, index);
        drop(seen);
        self.news.notify_one();
    }

    /// Notes that more of a kind happened than was looked at.
    pub(super) fn note_flood(&self, kind: Kind) {
        self.note(Kind::Flooded, kind.plural(), Word::Kernel);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what is seen of one sandbox.
pub struct Observer {
    record: Arc<Record>,
    ears: Option<Arc<Ears>>,
    told: usize,
}

impl Observer {
    pub(in crate::host) const fn new(record: Arc<Record>, ears: Option<Arc<Ears>>) -> Self {
        Self { record, ears, told: 0 }
    }

    /// Waits for the next thing that wasn't seen before, by kind and name. Cancel-safe.
    pub async fn next(&mut self) -> Sighting {
        loop {
            let next = self.record.lock().sightings.get(self.told).cloned();
            if let Some(sighting) = next {
                self.told += 1;
                return sighting;
            }
            self.record.news.notified().await;
        }
    }

    /// Everything that was seen until now, in the order of first times.
    #[must_use]
    pub fn seen(&self) -> Vec<Sighting> {
        // The tasks may not have come to it yet.
        if let Some(ears) = &self.ears {
            ears.listen_up();
        }
        self.record.lock().sightings.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let record = Arc::<Record>::default();
        for number in 0..10_000 {
            record.note(Kind::ConnectionRefused, &number.to_string(), Word::Guest);
            record.note(Kind::CallRefused, "mount", Word::Kernel);
        }
        let seen = Observer::new(record, None).seen();
        assert_eq!(seen.len(), MOST_SIGHTINGS + 1);
        assert_eq!(seen.iter().find(|sighting| sighting.name == "mount").unwrap().count, 10_000);
        let flood = seen.last().unwrap();
        assert_eq!((flood.kind, flood.name.as_str()), (Kind::Flooded, "connections refused"));
        assert_eq!(seen.iter().map(|sighting| sighting.count).sum::<u64>(), 20_000);
    }

    #[tokio::test]
    async fn each_thing_is_told_once_and_none_is_missed() {
        let record = Arc::<Record>::default();
        let mut observer = Observer::new(Arc::clone(&record), None);
        record.note(Kind::CallRefused, "mount", Word::Kernel);
        record.note(Kind::CallRefused, "ptrace", Word::Kernel);
        record.note(Kind::CallRefused, "mount", Word::Kernel);
        assert_eq!(observer.next().await.name, "mount");
        assert_eq!(observer.next().await.name, "ptrace");
        let waiting = tokio::spawn(async move { observer.next().await.name });
        tokio::task::yield_now().await;
        record.note(Kind::BindRefused, "0.0.0.0:80", Word::Guest);
        assert_eq!(waiting.await.unwrap(), "0.0.0.0:80");
    }
}
