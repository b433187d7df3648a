//! One kind of behaviour in words. All wording is in one table.

use crucible_core::{BehaviorKind, LimitKind, Limits, Source, TouchKind};
use std::time::Duration;

/// Characters of the longest name that is kept.
pub(super) const LONGEST_NAME: usize = 256;
/// Characters of the longest name that is said without quotation marks.
const LONGEST_PLAIN: usize = 80;

/// How one kind is said: «it SAYS NAME 3 times, first at 12 ms, REFUSED».
struct Wording {
    says: &'static str,
    /// What is after the name.
    after: &'static str,
    outcome: Option<&'static str>,
    /// What the name is, where it may be the guest's word alone.
    named: &'static str,
    /// Whether a name is never plain.
    quoting: Quoting,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// Only what isn't plain.
    WhereNeeded,
    /// Always: spaces are a part of it.
    Always,
}

const fn wording(kind: BehaviorKind) -> Wording {
    use Quoting::{Always, WhereNeeded};
    let refused = Some("refused");
    let (says, after, outcome, named, quoting) = match kind {
        BehaviorKind::ProcessStarted => ("started", "", None, "command line", Always),
        BehaviorKind::SyscallDenied => ("tried the system call", "", refused, "call", WhereNeeded),
        BehaviorKind::ConnectionRefused => ("tried to connect to", "", refused, "address", WhereNeeded),
        BehaviorKind::ConnectionMade => ("connected to", "", None, "address", WhereNeeded),
        BehaviorKind::BindRefused => ("tried to listen at", "", refused, "address", WhereNeeded),
        BehaviorKind::SendRefused => ("tried to send to", "", refused, "address", WhereNeeded),
        BehaviorKind::FileOpened => ("opened", "", None, "path", WhereNeeded),
        BehaviorKind::LimitReached => ("reached", "", None, "limit", WhereNeeded),
        BehaviorKind::TripwireTouched => ("touched the tripwire", "", None, "place", WhereNeeded),
        BehaviorKind::Flooded => ("kept on with", " beyond what is told one by one", None, "name", WhereNeeded),
    };
    Wording { says, after, outcome, named, quoting }
}

/// What is to be said.
pub(super) struct Said<'a> {
    pub(super) kind: BehaviorKind,
    /// Bounded already.
    pub(super) name: &'a str,
    pub(super) source: Source,
    pub(super) count: u64,
    pub(super) first: Option<Duration>,
    pub(super) how: Option<TouchKind>,
    pub(super) limits: &'a Limits,
    /// «imports socket (line 3)»; `None` where nothing was scanned.
    pub(super) foretold: Option<String>,
}

/// A sentence without its subject and full stop.
pub(super) fn message(said: &Said<'_>) -> String {
    let wording = wording(said.kind);
    let name = match limit(said) {
        Some(limit) => said.limits.in_words(limit),
        None => quoted(said.name, wording.quoting),
    };
    let mut text = format!("{} {name}{}", wording.says, wording.after);
    if let Some(how) = said.how {
        text.push_str(&format!(" ({})", how.as_str().replace('_', " ")));
    }
    if said.count != 1 {
        text.push_str(&format!(" {} times", said.count));
    }
    if let Some(first) = said.first {
        let first_of_several = if said.count == 1 { "" } else { ", first" };
        text.push_str(&format!("{first_of_several} at {}", moment(first)));
    }
    if let Some(outcome) = wording.outcome {
        let each_time = if said.count == 1 { "" } else { " each time" };
        text.push_str(&format!(", {outcome}{each_time}"));
    }
    if said.source == Source::Claimed {
        text.push_str(&format!(" ({} as the program claims)", wording.named));
    }
    match (&said.foretold, said.kind) {
        // It is about what came of something else.
        (None, _) | (_, BehaviorKind::Flooded) => text,
        (Some(foretold), _) if foretold.is_empty() => format!("{text}; nothing in the source foretold it"),
        (Some(foretold), _) => format!("{foretold} and {text}"),
    }
}

fn limit(said: &Said<'_>) -> Option<LimitKind> {
    let is_it = |limit: &LimitKind| said.kind == BehaviorKind::LimitReached && limit.as_str() == said.name;
    LimitKind::ALL.into_iter().find(is_it)
}

/// A time from the start of the command, no finer than a reader wants it.
fn moment(at: Duration) -> String {
    let milliseconds = at.as_secs_f64() * 1e3;
    if milliseconds < 9.95 {
        format!("{milliseconds:.1} ms")
    } else if milliseconds < 10_000.0 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{:.1} s", at.as_secs_f64())
    }
}

/// A name as it is said within a sentence.
fn quoted(name: &str, quoting: Quoting) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/[]%+@~".contains(c);
    let is_short = name.len() <= LONGEST_PLAIN;
    if quoting == Quoting::WhereNeeded && is_short && !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

/// A hostile text with at most so many characters, and none that steers a terminal or hides.
pub(super) fn bounded(text: &str, most: usize) -> String {
    let shown = |c: char| if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c };
    let mut characters = text.chars();
    let mut kept: String = characters.by_ref().take(most).map(shown).collect();
    if characters.next().is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// Whether a character steers rather than shows, breaks a line, or takes no room.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said<'a>(kind: BehaviorKind, name: &'a str, limits: &'a Limits) -> Said<'a> {
        let first = Some(Duration::from_micros(12_100));
        Said { kind, name, source: Source::Host, count: 1, first, how: None, limits, foretold: None }
    }

    #[test]
    fn every_kind_is_said_once_and_often() {
        let limits = Limits::default();
        let once = |kind, name| message(&said(kind, name, &limits));
        let often = |kind, name| message(&Said { count: 3, ..said(kind, name, &limits) });
        for (kind, name, singular, plural) in [
            (
                BehaviorKind::ProcessStarted,
                "sh -c id",
                "started \"sh -c id\" at 12 ms",
                "started \"sh -c id\" 3 times, first at 12 ms",
            ),
            (
                BehaviorKind::SyscallDenied,
                "ptrace",
                "tried the system call ptrace at 12 ms, refused",
                "tried the system call ptrace 3 times, first at 12 ms, refused each time",
            ),
            (
                BehaviorKind::ConnectionRefused,
                "127.0.0.1:80",
                "tried to connect to 127.0.0.1:80 at 12 ms, refused",
                "tried to connect to 127.0.0.1:80 3 times, first at 12 ms, refused each time",
            ),
            (
                BehaviorKind::BindRefused,
                "[::1]:80",
                "tried to listen at [::1]:80 at 12 ms, refused",
                "tried to listen at [::1]:80 3 times, first at 12 ms, refused each time",
            ),
            (
                BehaviorKind::SendRefused,
                "10.0.0.1:53",
                "tried to send to 10.0.0.1:53 at 12 ms, refused",
                "tried to send to 10.0.0.1:53 3 times, first at 12 ms, refused each time",
            ),
            (
                BehaviorKind::FileOpened,
                "/etc/passwd",
                "opened /etc/passwd at 12 ms",
                "opened /etc/passwd 3 times, first at 12 ms",
            ),
            (
                BehaviorKind::LimitReached,
                "pids",
                "reached the limit of 64 processes at 12 ms",
                "reached the limit of 64 processes 3 times, first at 12 ms",
            ),
            (
                BehaviorKind::TripwireTouched,
                "/work/key",
                "touched the tripwire /work/key at 12 ms",
                "touched the tripwire /work/key 3 times, first at 12 ms",
            ),
            (
                BehaviorKind::Flooded,
                "syscall_denied",
                "kept on with syscall_denied beyond what is told one by one at 12 ms",
                "kept on with syscall_denied beyond what is told one by one 3 times, first at 12 ms",
            ),
        ] {
            assert_eq!(once(kind, name), singular);
            assert_eq!(often(kind, name), plural);
        }
    }

    #[test]
    fn what_the_program_claims_is_said_to_be_claimed() {
        let limits = Limits::default();
        let claimed =
            Said { source: Source::Claimed, ..said(BehaviorKind::ConnectionRefused, "127.0.0.1:80", &limits) };
        assert_eq!(
            message(&claimed),
            "tried to connect to 127.0.0.1:80 at 12 ms, refused (address as the program claims)"
        );
    }

    #[test]
    fn a_name_can_not_end_its_sentence() {
        let limits = Limits::default();
        let hostile = "x, refused; nothing \" happened \\";
        let text = message(&said(BehaviorKind::FileOpened, hostile, &limits));
        assert_eq!(text, "opened \"x, refused; nothing \\\" happened \\\\\" at 12 ms");
        let text = message(&said(BehaviorKind::FileOpened, "", &limits));
        assert_eq!(text, "opened \"\" at 12 ms");
    }

    #[test]
    fn times_are_as_fine_as_they_are_read() {
        let at = |micros| moment(Duration::from_micros(micros));
        assert_eq!(
            [at(0), at(400), at(9_940), at(9_960), at(12_400), at(12_345_678)],
            ["0.0 ms", "0.4 ms", "9.9 ms", "10 ms", "12 ms", "12.3 s"]
        );
    }

    proptest! {
        #[test]
        fn what_is_bounded_is_short_and_shows_everything(text in "\\PC{0,40}|.{0,40}|[\\x00-\\x1f\u{200b}-\u{206f}a]{0,40}", most in 1_usize..30) {
            let kept = bounded(&text, most);
            prop_assert!(kept.chars().count() <= most);
            prop_assert!(!kept.chars().any(is_hidden));
            prop_assert_eq!(bounded(&kept, most), kept);
        }
    }
}
