//! The table as a person sees it, and its width whatever it is given.

use super::*;
use crate::report::sample;
use proptest::prelude::*;

/// As it is printed where colour isn't wanted.
fn plain(suites: &[SuiteResult], arms: Arms) -> String {
    strip(&table(suites, &sample::context(), arms))
}

fn strip(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The first cell of every row, with what goes on in further lines put together again.
fn ids(text: &str, names: &[&str]) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for line in text.lines().take_while(|line| !line.starts_with("jail: ")) {
        let first = line.trim_start().split("  ").next().unwrap_or_default();
        if line.starts_with("    ") && !line.starts_with("     ") {
            ids.last_mut().unwrap().push_str(first);
        } else if line.starts_with("  ") && !names.iter().any(|name| first.starts_with(name)) {
            ids.push(first.to_owned());
        }
    }
    ids
}

#[test]
fn a_matrix_has_a_row_for_each_property_and_a_column_for_each_backend() {
    sample::assert_kept("matrix.txt", &plain(&sample::two(), Arms::Protected));
}

#[test]
fn both_arms_are_told_of_every_property() {
    sample::assert_kept("both-arms.txt", &plain(&[sample::two().remove(0)], Arms::Both));
}

#[test]
fn layers_are_told_where_they_were_left_off() {
    sample::assert_kept("layers.txt", &plain(&[sample::ablated()], Arms::Protected));
    sample::assert_kept("layers-and-arms.txt", &plain(&[sample::ablated()], Arms::Both));
}

#[test]
fn hostile_texts_are_shown_and_obeyed_by_nothing() {
    let styled = table(&sample::hostile(), &sample::hostile_context(), Arms::Both);
    let text = strip(&styled);
    assert!(!text.chars().any(|character| character.is_control() && character != '\n'));
    sample::assert_kept("hostile.txt", &text);
}

#[test]
fn long_ids_that_differ_at_their_ends_stay_different() {
    let id = |end: &str| format!("filesystem.{}{end}", "x".repeat(150));
    let properties = ["a", "b"].map(|end| sample::property(&id(end), Verdict::Held)).to_vec();
    let backends = ["jail", "docker", "gvisor", "wasm", "microvm", "subprocess"];
    let suites: Vec<_> = backends.iter().map(|backend| sample::suite(backend, properties.clone())).collect();
    let text = plain(&suites, Arms::Protected);
    let ids = ids(&text, &backends);
    // Six backends don't fit next to ids as long as these, so there is more than one table.
    assert!(ids.len() > 2, "{text}");
    assert_eq!(ids.chunks(2).collect::<Vec<_>>(), vec![&[id("a"), id("b")][..]; ids.len() / 2]);
    for backend in backends {
        assert!(text.lines().take_while(|line| !line.starts_with("jail: ")).any(|line| line.contains(backend)));
    }
}

#[test]
fn an_id_can_not_fake_the_verdict_next_to_it() {
    let faked = sample::property("filesystem.host_path        held", Verdict::Breached);
    let text = plain(&[sample::suite("jail", vec![faked])], Arms::Protected);
    assert!(text.contains("  filesystem.host_path held"), "{text}");
    assert!(!text.contains("host_path  "), "{text}");
}

#[test]
fn a_property_told_twice_has_two_rows() {
    let twice = sample::suite_of("jail", &[Verdict::Held, Verdict::Breached]);
    let text = plain(&[twice], Arms::Protected);
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("  filesystem.host_path")).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].ends_with(" held") && rows[1].ends_with(" BREACHED"), "{text}");
}

#[test]
fn nothing_tested_is_told_as_proving_nothing() {
    assert!(plain(&[], Arms::Both).contains("no backend was attacked, which proves nothing"));
    let empty = [sample::suite("jail", Vec::new())];
    assert!(plain(&empty, Arms::Protected).contains("jail: no property was tested, which proves nothing; 12.3 s"));
}

#[test]
fn colour_adds_nothing_to_the_words() {
    let styled = table(&sample::two(), &sample::context(), Arms::Protected);
    assert!(styled.contains("\u{1b}["));
    let words = plain(&sample::two(), Arms::Protected);
    assert!(["held", "BREACHED", "inconclusive", " -", "not run"].iter().all(|word| words.contains(word)));
}

proptest! {
    #[test]
    fn no_line_is_ever_wider_than_promised(suites in sample::any_suites(), both: bool) {
        let arms = if both { Arms::Both } else { Arms::Protected };
        let text = strip(&table(&suites, &sample::hostile_context(), arms));
        for line in text.lines() {
            prop_assert!(width(line) <= TABLE_WIDTH, "{} columns: {line}", width(line));
        }
        // Every verdict is in the table, and every one that isn't held once more below it.
        let breached: usize = suites.iter().map(|suite| suite.count(Verdict::Breached)).sum();
        prop_assert!(text.matches("BREACHED").count() >= breached * 2);
    }
}
