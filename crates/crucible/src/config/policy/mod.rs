//! Policies by name or from a file.
//!
//! Invariant: reading a text does no I/O, and one that says something that nobody knows, or that contradicts itself, is an
//! error with its line. A file that says neither what it extends nor what it requires is refused: it would require nothing.

mod check;
mod render;
mod words;

pub use check::Problem;
pub use render::policy_to_text;
pub use words::policy_in_words;

use super::source::{Origin, Source, is_file, read_settings};
use super::values::{Values, wrong};
use super::{limits, schema};
use crucible_core::{
    Before, BehaviorKind, Decision, During, Error, ErrorKind, Isolation, Layer, Limits, NetworkPolicy, Policy, Result,
    Severity, UnenforcedLimits, UnseenPosture, Unwatched, Users, nearest,
};
use std::collections::BTreeSet;
use std::path::Path;

/// The word for a severity that none reaches.
const NEVER: &str = "never";
/// The most characters of a rule or module that a policy names.
const LONGEST_NAME: usize = 200;

/// The built-in policies as commented files: name and text. They say what [`Policy::built_in`] does.
pub const BUILT_IN_POLICIES: [(&str, &str); 5] = [
    ("default", include_str!("../policies/default.toml")),
    ("strict", include_str!("../policies/strict.toml")),
    ("research", include_str!("../policies/research.toml")),
    ("inspect", include_str!("../policies/inspect.toml")),
    ("unisolated", include_str!("../policies/unisolated.toml")),
];

/// A policy as a file has it.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// What it demands.
    pub policy: Policy,
    /// What is no mistake but does nothing, each with its place.
    pub warnings: Vec<Problem>,
    values: Values,
}

/// The policy that `text` names: a built-in one, or a file if it holds a slash or ends in `.toml`.
///
/// # Errors
/// `NotFound` for an unknown name or a missing file; `Configuration`, with file and line, for what the file gets wrong.
pub(crate) fn find(text: &str, origin: Option<&Origin>) -> Result<Policy> {
    if is_file(text) {
        let path = origin.map_or_else(|| text.into(), |origin| origin.resolve(text));
        return policy_file(&path).map(|file| file.policy);
    }
    Policy::built_in(text).ok_or_else(|| {
        let place = origin.filter(|origin| !matches!(origin, Origin::Flag { .. })).map(|origin| format!("{origin}: "));
        let message = format!("{}there is no policy {text:?}", place.unwrap_or_default());
        let error = Error::new(ErrorKind::NotFound, "find the policy", message);
        match nearest(text, Policy::BUILT_IN) {
            Some(name) => error.with_hint(format!("did you mean '{name}'? a file is named with a slash or .toml")),
            None => error
                .with_hint(format!("known: {}; a file is named with a slash or .toml", Policy::BUILT_IN.join(", "))),
        }
    })
}

/// Reads a policy file.
///
/// # Errors
/// `NotFound` where there is none; as [`policy_from_text`].
pub fn policy_file(path: &Path) -> Result<PolicyFile> {
    policy_from_text(&read_settings(path, "policy file", ErrorKind::NotFound)?, path)
}

/// Reads a policy from a text. `path` is what mistakes name, and what the policy is called that gives itself no name;
/// nothing is looked for there.
///
/// # Errors
/// `Configuration`, with the line, for a key, a value, a layer or a kind that nobody knows, and for clauses that contradict
/// each other.
pub fn policy_from_text(text: &str, path: &Path) -> Result<PolicyFile> {
    let mut values = Values::default();
    values.overlay_text(text, &Source::file(path), &schema::POLICY)?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let policy = Reader { values: &values }.policy(stem, path)?;
    let (mistakes, warnings) = check::contradictions(&policy, &values);
    match mistakes.into_iter().next() {
        Some(mistake) => Err(mistake.into()),
        None => Ok(PolicyFile { policy, warnings, values }),
    }
}

impl PolicyFile {
    /// What `*_rules` name that isn't, and isn't the beginning of, one of these rules.
    #[must_use]
    pub fn unknown_rules<'a>(&self, known: impl IntoIterator<Item = &'a str> + Clone) -> Vec<Problem> {
        check::unknown_rules(&self.policy, &self.values, known)
    }
}

struct Reader<'a> {
    values: &'a Values,
}

impl Reader<'_> {
    fn policy(&self, stem: String, path: &Path) -> Result<Policy> {
        let base = self.base(stem, path)?;
        let refuse_or_record = [("refuse", false), ("record", true)];
        let unenforced = self.choice("unenforced_limits", &refuse_or_record)?.map(|record| match record {
            true => UnenforcedLimits::Record,
            false => UnenforcedLimits::Refuse,
        });
        let unseen = self.choice("unseen_posture", &refuse_or_record)?.map(|record| match record {
            true => UnseenPosture::Record,
            false => UnseenPosture::Refuse,
        });
        let (warm, fresh) = (self.switch("warm")?, self.switch("fresh")?);
        Ok(Policy {
            name: base.name,
            require: self
                .known_items("require", &Layer::ALL.map(|layer| (layer.as_str(), layer)))?
                .unwrap_or(base.require),
            network: self.network(base.network)?,
            unenforced_limits: unenforced.unwrap_or(base.unenforced_limits),
            unseen_posture: unseen.unwrap_or(base.unseen_posture),
            before: self.before(base.before)?,
            limits: self.limits(base.limits)?,
            during: self.during(base.during)?,
            warm: warm.unwrap_or(base.warm),
            fresh: fresh.unwrap_or(base.fresh),
            users: self
                .choice("users", &[Users::Guest, Users::Root].map(|users| (users.as_str(), users)))?
                .unwrap_or(base.users),
        })
    }

    fn switch(&self, key: &str) -> Result<Option<bool>> {
        self.choice(key, &[("true", true), ("false", false)])
    }

    fn network(&self, base: NetworkPolicy) -> Result<NetworkPolicy> {
        let Some(text) = self.values.text("network") else { return Ok(base) };
        text.parse().map_err(|error: Error| self.blame("network", error.to_string()))
    }

    /// What the file changes: the policy that it extends, or one that demands nothing but refuses what can't be enforced.
    fn base(&self, stem: String, path: &Path) -> Result<Policy> {
        let name = self.values.text("name").map_or(stem, str::to_owned);
        if self.values.text("extends").is_none() {
            if self.values.get("require").is_none() {
                let message = format!("{}: it says neither what it requires nor what it extends", path.display());
                return Err(Error::new(ErrorKind::Configuration, "read the policy", message)
                    .with_hint("begin it with extends = \"default\" and say only what differs"));
            }
            let unenforced_limits = UnenforcedLimits::Refuse;
            return Ok(Policy { name, unenforced_limits, ..Policy::unisolated() });
        };
        let known = Policy::BUILT_IN.map(|name| (name, name));
        let extended = self.choice("extends", &known)?.and_then(Policy::built_in);
        Ok(Policy { name, ..extended.unwrap_or_default() })
    }

    fn before(&self, base: Before) -> Result<Before> {
        let severities: Vec<_> =
            Severity::ALL.into_iter().map(|severity| (severity.as_str(), Some(severity))).collect();
        let thresholds: Vec<_> = severities.iter().copied().chain([(NEVER, None)]).collect();
        let decisions = [Decision::Allow, Decision::Hold, Decision::Deny].map(|decision| (decision.as_str(), decision));
        let mut least_isolation = base.least_isolation;
        for severity in Severity::ALL {
            let walls = [Isolation::SharedKernel, Isolation::OwnKernel].map(|wall| (wall.as_str(), wall));
            let wall = self.choice(&format!("before.least_isolation.{severity}"), &walls)?;
            least_isolation.extend(wall.map(|wall| (severity, wall)));
        }
        Ok(Before {
            deny: self.choice("before.deny", &thresholds)?.unwrap_or(base.deny),
            hold: self.choice("before.hold", &thresholds)?.unwrap_or(base.hold),
            deny_rules: self.names("before.deny_rules", is_rule)?.unwrap_or(base.deny_rules),
            hold_rules: self.names("before.hold_rules", is_rule)?.unwrap_or(base.hold_rules),
            note_rules: self.names("before.note_rules", is_rule)?.unwrap_or(base.note_rules),
            imports_allowed: self.names("before.imports_allowed", is_module)?.or(base.imports_allowed),
            imports_forbidden: self.names("before.imports_forbidden", is_module)?.unwrap_or(base.imports_forbidden),
            // That an import may be that may not be says nothing.
            imports: self.choice("before.imports", &decisions[1..])?.or(base.imports),
            unread: self.choice("before.unread", &decisions)?.or(base.unread),
            least_isolation,
        })
    }

    fn limits(&self, base: Option<Limits>) -> Result<Option<Limits>> {
        if self.values.below("limits.").next().is_none() {
            return Ok(base);
        }
        let most = limits::read(self.values, "limits", base.unwrap_or_else(Limits::maximum))?;
        limits::check(self.values, &most, &Limits::maximum())?;
        Ok(Some(most))
    }

    fn during(&self, base: During) -> Result<During> {
        let kinds = BehaviorKind::ALL.map(|kind| (kind.as_str(), kind));
        let unwatched = [("refuse", Unwatched::Refuse), ("record", Unwatched::Record)];
        Ok(During {
            end_on: self.known_items("during.end_on", &kinds)?.unwrap_or(base.end_on),
            unwatched: self.choice("during.unwatched", &unwatched)?.unwrap_or(base.unwatched),
        })
    }

    /// One of these words; `None` where nothing is said.
    fn choice<T: Copy>(&self, key: &str, known: &[(&str, T)]) -> Result<Option<T>> {
        self.values.text(key).map(|text| self.known(key, text, known)).transpose()
    }

    /// A set of these words; `None` where nothing is said.
    fn known_items<T: Copy + Ord>(&self, key: &str, known: &[(&str, T)]) -> Result<Option<BTreeSet<T>>> {
        let items = self.values.get(key).map(|_| self.values.list(key));
        items.map(|items| items.iter().map(|item| self.known(key, item, known)).collect()).transpose()
    }

    /// A set of names of the person's own; `None` where nothing is said.
    fn names(&self, key: &str, is_sound: impl Fn(&str) -> Option<&'static str>) -> Result<Option<BTreeSet<String>>> {
        if self.values.get(key).is_none() {
            return Ok(None);
        }
        let items = self.values.list(key);
        let unsound = items.iter().find_map(|item| is_sound(item).map(|why| (item, why)));
        match unsound {
            Some((item, why)) => {
                let shown: String = item.chars().take(64).collect();
                Err(self.blame(key, format!("{shown:?} {why}")))
            }
            None => Ok(Some(items.into_iter().collect())),
        }
    }

    fn known<T: Copy>(&self, key: &str, given: &str, known: &[(&str, T)]) -> Result<T> {
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == given) {
            return Ok(*value);
        }
        let error = self.blame(key, format!("unknown value {given:?}"));
        let names = || known.iter().map(|(name, _)| *name);
        Err(match nearest(given, names()) {
            Some(name) => error.with_hint(format!("did you mean '{name}'?")),
            None => error.with_hint(format!("known: {}", names().collect::<Vec<_>>().join(", "))),
        })
    }

    fn blame(&self, key: &str, message: String) -> Error {
        match self.values.get(key) {
            Some(located) => wrong(key, &located.origin, message),
            None => Error::new(ErrorKind::Configuration, "read the policy", message),
        }
    }
}

/// What is wrong with a pattern of rules, if anything is.
fn is_rule(pattern: &str) -> Option<&'static str> {
    let plain = pattern.strip_suffix('*').unwrap_or(pattern);
    let is_sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if pattern.is_empty() || pattern.len() > LONGEST_NAME || !plain.chars().all(is_sound) {
        return Some("names no rule: it takes a-z, 0-9, '.', '_' and '-', and a * at its end for all that begin so");
    }
    None
}

/// What is wrong with the name of a module, if anything is.
fn is_module(name: &str) -> Option<&'static str> {
    if name.contains('*') {
        return Some("names no module: a module stands for those below it, without any *");
    }
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Some("names no module");
    }
    None
}

#[cfg(test)]
mod tests;
