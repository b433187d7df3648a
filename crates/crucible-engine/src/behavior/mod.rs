//! Puts together what was seen of a run, in words, with the findings that foretold it. Pure: observations in, record out.
//!
//! Invariant: bounded in entries and in the length of each text, whatever the guest named things; and no text of a guest's
//! gets into a sentence without quotation marks around it, unless it is plain. One kind of behaviour that comes in many
//! names can't push another kind out.

mod foretelling;
mod words;

use crate::verdict::Verdict;
use crucible_core::{
    Behavior, BehaviorKind, Finding, GuestPath, LimitKind, Limits, Observed, Source, TouchKind, TripwireRecord,
};
use foretelling::Foretelling;
use std::collections::{BTreeMap, btree_map};
use std::time::{Duration, Instant};

/// The most names of one kind that are told.
const MOST_NAMES: usize = 64;

/// A limit that the host saw the guest reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    pub(crate) limit: LimitKind,
    /// When, from the start of the command, where that is known.
    pub(crate) at: Option<Duration>,
}

impl Reached {
    /// The limits of a verdict. Those that the engine watches end the command when they are reached; when the kernel took to
    /// killing for memory, or first refused something, isn't known.
    pub(crate) fn all(verdict: &Verdict, ended: Duration) -> Vec<Self> {
        let ending = verdict.limit.map(|limit| Self { limit, at: (limit != LimitKind::Memory).then_some(ended) });
        ending.into_iter().chain(verdict.observed.iter().map(|limit| Self { limit: *limit, at: None })).collect()
    }
}

/// What was known of the program before it ran.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Screened<'a> {
    /// Nothing: nobody looked.
    Not,
    /// What a scanner saw.
    As {
        findings: &'a [Finding],
        /// The program's own file.
        program: Option<&'a GuestPath>,
    },
}

/// All that the host saw of one run.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) observed: &'a [Observed],
    /// When the command started.
    pub(crate) started: Instant,
    pub(crate) limits: &'a Limits,
    pub(crate) reached: &'a [Reached],
    pub(crate) tripwires: &'a [TripwireRecord],
    pub(crate) screened: Screened<'a>,
}

/// One kind and name.
#[derive(Debug)]
struct Entry {
    source: Source,
    count: u64,
    first: Option<Duration>,
    how: Option<TouchKind>,
}

impl Entry {
    /// Takes in what was seen under the same name. A claim makes all of it one.
    fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = [self.first, other.first].into_iter().flatten().min();
        if other.source == Source::Claimed {
            self.source = Source::Claimed;
        }
    }
}

type Entries = BTreeMap<(BehaviorKind, String), Entry>;

/// What a run did: one entry for each kind and name, by the first time; those without one come last.
pub(crate) fn behavior(seen: &Seen<'_>) -> Vec<Behavior> {
    let mut entries: Vec<_> = gathered(seen).into_iter().collect();
    entries.sort_by_key(|((kind, _), entry)| (entry.first.is_none(), entry.first, *kind));
    let mut foretelling = Foretelling::new(seen.screened);
    let behavior = |((kind, name), entry): ((BehaviorKind, String), Entry)| {
        let foretold_by = foretelling.of(kind, &name);
        let message = words::message(&words::Said {
            kind,
            name: &name,
            source: entry.source,
            count: entry.count,
            first: entry.first,
            how: entry.how,
            limits: seen.limits,
            foretold: foretelling.in_words(&foretold_by),
        });
        let first_at_ms = entry.first.map(|first| (first.as_secs_f64() * 1e6).round() / 1e3);
        Behavior { kind, name, source: entry.source, count: entry.count, first_at_ms, foretold_by, message }
    };
    entries.into_iter().map(behavior).collect()
}

fn gathered(seen: &Seen<'_>) -> Entries {
    let mut entries = Entries::new();
    let mut names: BTreeMap<BehaviorKind, usize> = BTreeMap::new();
    let mut beyond: BTreeMap<BehaviorKind, Entry> = BTreeMap::new();
    for Observed { first, count } in seen.observed {
        let at = first.at.saturating_duration_since(seen.started);
        let entry = Entry { source: first.source, count: *count, first: Some(at), how: None };
        let key = (first.kind, words::bounded(&first.name, words::LONGEST_NAME));
        let told = names.entry(first.kind).or_default();
        if let Some(known) = entries.get_mut(&key) {
            known.merge(entry);
        } else if *told < MOST_NAMES {
            *told += 1;
            entries.insert(key, entry);
        } else {
            let entry = Entry { source: Source::Host, ..entry };
            add(&mut beyond, first.kind, entry);
        }
    }
    for (kind, entry) in beyond {
        add(&mut entries, (BehaviorKind::Flooded, kind.as_str().to_owned()), entry);
    }
    // Where an observer told of the same, it knows better when and how often.
    for Reached { limit, at } in seen.reached {
        let entry = Entry { source: Source::Host, count: 1, first: *at, how: None };
        entries.entry((BehaviorKind::LimitReached, limit.as_str().to_owned())).or_insert(entry);
    }
    for tripwire in seen.tripwires {
        let Some(touch) = tripwire.touched else { continue };
        let key = (BehaviorKind::TripwireTouched, words::bounded(&tripwire.name, words::LONGEST_NAME));
        let entry = Entry { source: Source::Host, count: 1, first: touch.first_at, how: Some(touch.how) };
        entries.entry(key).or_insert(entry).how = Some(touch.how);
    }
    entries
}

fn add<K: Ord>(entries: &mut BTreeMap<K, Entry>, key: K, entry: Entry) {
    match entries.entry(key) {
        btree_map::Entry::Vacant(place) => drop(place.insert(entry)),
        btree_map::Entry::Occupied(mut known) => known.get_mut().merge(entry),
    }
}

#[cfg(test)]
mod tests;
