//! The engine's self-test: what it was handed fits together, and its own instruments measure.

use crate::admission::AUTO;
use crate::engine::Engine;
use crate::streams::{Ears, Kept, Stopped, pump};
use crate::tripwire::Tripwires;
use crate::{journal, languages};
use async_trait::async_trait;
use crucible_core::{Check, Component, GuestPath, Isolation, Limits, SelfTest, Stream};
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

#[async_trait]
impl Component for Engine {
    fn name(&self) -> &str {
        "engine"
    }

    async fn self_test(&self) -> SelfTest {
        let mut checks = vec![
            no_problem("every name, alias and ending tells one language", &claimed_twice(self)),
            no_problem("every language can be called", &uncallable(self)),
            no_problem("every backend says what it can do", &speechless(self)),
            no_problem("the default limits are accepted", &limits_refused(self)),
        ];
        checks.push(output_limit().await);
        SelfTest { component: self.name().to_owned(), checks }
    }
}

fn no_problem(name: &str, problems: &[String]) -> Check {
    let seen = if problems.is_empty() { "no contradiction".to_owned() } else { problems.join("; ") };
    Check::new(name, problems.is_empty().into(), seen).with_mend(if problems.is_empty() {
        ""
    } else {
        "correct the configuration"
    })
}

fn claimed_twice(engine: &Engine) -> Vec<String> {
    let mut claims: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, language) in engine.languages().iter() {
        let names = std::iter::once(name).chain(language.aliases.iter().map(String::as_str));
        let names = names.map(|alias| format!("the name '{}'", alias.to_ascii_lowercase()));
        let endings = language.endings.iter().map(|ending| format!("the ending '.{}'", ending.to_ascii_lowercase()));
        for claim in names.chain(endings) {
            claims.entry(claim).or_default().push(name);
        }
    }
    let doubled = claims.into_iter().filter(|(_, claimants)| claimants.len() > 1);
    doubled.map(|(claim, claimants)| format!("{claim} is claimed by {}", claimants.join(" and "))).collect()
}

fn uncallable(engine: &Engine) -> Vec<String> {
    let mut problems = Vec::new();
    if engine.languages().iter().next().is_none() {
        problems.push("there is no language".to_owned());
    }
    for (name, language) in engine.languages().iter() {
        let mut say = |what: &str| problems.push(format!("language '{name}' {what}"));
        if !language.run.iter().any(|part| part.contains("{file}")) {
            say("has no {file} in its run");
        }
        if language.interpreters.is_empty() && language.run.iter().any(|part| languages::fill(part, None, "").is_err())
        {
            say("calls an {interpreter} and names none");
        }
        let file = GuestPath::parse(&language.file_name).ok();
        if !file.is_some_and(|path| path.within_work().is_some_and(|name| !name.is_empty() && !name.contains('/'))) {
            say("has a file_name that is not a file name");
        }
    }
    problems
}

fn speechless(engine: &Engine) -> Vec<String> {
    let mut problems = Vec::new();
    if engine.backends().is_empty() {
        problems.push("there is no backend".to_owned());
    }
    for (index, backend) in engine.backends().iter().enumerate() {
        let (name, capabilities) = (backend.name(), backend.capabilities());
        let mut say = |what: &str| problems.push(format!("backend '{name}' {what}"));
        if name == AUTO || engine.backends().iter().take(index).any(|other| other.name() == name) {
            say("has a name that is taken");
        }
        if capabilities.isolation != Isolation::None && !capabilities.layers.values().any(|layer| layer.is_active()) {
            say("claims to isolate and names no layer");
        }
        if capabilities.networks.is_empty() {
            say("names no network it can give");
        }
        if capabilities.limits.is_empty() {
            say("names no limit");
        }
        if backend.version().is_empty() {
            say("has no version");
        }
    }
    problems
}

fn limits_refused(engine: &Engine) -> Vec<String> {
    Limits::default().validate(engine.maximum()).err().map(|error| error.to_string()).into_iter().collect()
}

/// Reads three bytes under a limit of two.
async fn output_limit() -> Check {
    let (journal, _readout) = journal::open();
    let (mut kept, closing) = (Kept::default(), CancellationToken::new());
    closing.cancel();
    let mut three: &[u8] = b"abc";
    let ears = Ears { journal: &journal, tripwires: &Tripwires::new(&[]) };
    let stopped = pump(Stream::Stdout, &mut three, 2, &mut kept, ears, &closing).await;
    let noticed = stopped == Stopped::AtLimit && kept.output.bytes == b"ab" && kept.output.truncated;
    let seen = format!("{} bytes kept of 3 under a limit of 2", kept.output.bytes.len());
    Check::new("one byte above the output limit is noticed", noticed.into(), seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NodeFacts;
    use crate::languages::{LanguageTable, tests::language};
    use crucible_core::{Backend, ByteSize, CheckStatus, Language, Layers};
    use crucible_testkit::fake::{FakeBackend, Script, everything};
    use std::sync::Arc;

    fn engine(backends: Vec<FakeBackend>, languages: Vec<(&str, Language)>, maximum: Limits) -> Engine {
        let backends = backends.into_iter().map(|backend| Arc::new(backend) as Arc<dyn Backend>).collect();
        let languages: BTreeMap<_, _> = languages.into_iter().map(|(name, table)| (name.to_owned(), table)).collect();
        Engine::new(backends, LanguageTable::from(languages), maximum, NodeFacts { kernel: "6".to_owned() })
    }

    fn failures(test: &SelfTest) -> Vec<&str> {
        let failed = test.checks.iter().filter(|check| check.status == CheckStatus::Failed);
        failed.map(|check| check.seen.as_str()).collect()
    }

    #[tokio::test]
    async fn what_fits_together_is_healthy() {
        let backends = vec![FakeBackend::new(Script::default())];
        let languages = vec![("a", language(&["a"], &["aa"])), ("b", language(&["b"], &["bb"]))];
        let test = engine(backends, languages, Limits::maximum()).self_test().await;
        assert!(test.is_healthy(), "{test:?}");
    }

    #[tokio::test]
    async fn every_contradiction_is_named() {
        let mute = crucible_core::Capabilities { layers: Layers::new(), ..everything() };
        let backends = vec![
            FakeBackend::new(Script::default()).with_capabilities(mute),
            FakeBackend::new(Script::default()),
            FakeBackend::new(Script::default()).named("auto"),
        ];
        let languages = vec![
            ("a", language(&["x"], &["B"])),
            ("b", language(&["X"], &[])),
            ("c", Language { run: vec!["{interpreter}".to_owned()], interpreters: vec![], ..language(&[], &[]) }),
            ("d", Language { file_name: "../d".to_owned(), ..language(&[], &[]) }),
        ];
        let maximum = Limits { memory: ByteSize::mib(8), ..Limits::maximum() };
        let test = engine(backends, languages, maximum).self_test().await;
        let seen = failures(&test).join("; ");
        for expected in [
            "the ending '.x' is claimed by a and b",
            "the name 'b' is claimed by a and b",
            "'c' has no {file}",
            "'c' calls an {interpreter} and names none",
            "'d' has a file_name that is not a file name",
            "'fake' claims to isolate and names no layer",
            "'fake' has a name that is taken",
            "'auto' has a name that is taken",
            "memory of 256MiB is outside",
        ] {
            assert!(seen.contains(expected), "{expected} is missing in: {seen}");
        }
        assert_eq!(failures(&test).len(), 4);
    }

    #[tokio::test]
    async fn an_engine_with_nothing_is_not_healthy() {
        let test = engine(vec![], vec![], Limits::maximum()).self_test().await;
        assert_eq!(failures(&test), ["there is no language", "there is no backend"]);
    }
}
