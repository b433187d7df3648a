//! What `/proc/PID/status` says of a process's privileges. Reads a text and asks for nothing itself.

use super::{Facts, PlannedGroups, Seen, shown};
use crate::plan::Ids;

/// The lines that count, each without its name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status<'a> {
    sets: [Option<&'a str>; 5],
    pub(super) no_new_privs: Option<&'a str>,
    seccomp: Option<&'a str>,
    pub(super) filters: Option<&'a str>,
    pub(super) user: Option<&'a str>,
    pub(super) group: Option<&'a str>,
    pub(super) groups: Option<&'a str>,
    pub(super) tracer: Option<&'a str>,
    /// The process's numbers, from the reader's process namespace inwards.
    pub(super) numbers: Option<&'a str>,
}

const SETS: [&str; 5] = [
    "capabilities.inheritable",
    "capabilities.permitted",
    "capabilities.effective",
    "capabilities.bounding",
    "capabilities.ambient",
];

impl<'a> Status<'a> {
    /// Finds the lines. What isn't UTF-8, such as a name that the guest chose, is none of them.
    pub(super) fn parse(text: &'a [u8]) -> Self {
        let mut status = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let Some((key, value)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':')) else {
                continue;
            };
            let [inheritable, permitted, effective, bounding, ambient] = &mut status.sets;
            let place = match key {
                "CapInh" => inheritable,
                "CapPrm" => permitted,
                "CapEff" => effective,
                "CapBnd" => bounding,
                "CapAmb" => ambient,
                "NoNewPrivs" => &mut status.no_new_privs,
                "Seccomp" => &mut status.seccomp,
                "Seccomp_filters" => &mut status.filters,
                "Uid" => &mut status.user,
                "Gid" => &mut status.group,
                "Groups" => &mut status.groups,
                "TracerPid" => &mut status.tracer,
                "NSpid" => &mut status.numbers,
                _ => continue,
            };
            *place = Some(value.trim());
        }
        status
    }

    /// The sets, of which none has any but these: permitted, effective and bounding have all of them, the others none.
    pub(super) fn capabilities(&self, planned: u64, facts: &mut Facts) {
        // Inheritable and ambient are the first and the last.
        let planned = [0, planned, planned, planned, 0];
        for ((name, set), planned) in SETS.into_iter().zip(self.sets).zip(planned) {
            facts.compare(name, set, |seen| u64::from_str_radix(seen, 16) == Ok(planned));
        }
    }

    /// The mode, and how many filters there are: the sandbox's, and those that the supervisor itself is under.
    pub(super) fn filter(&self, facts: &mut Facts, supervisors: Option<u32>) {
        facts.compare("seccomp", self.seccomp, |seen| seen == "2");
        match (self.filters, supervisors) {
            (Some(seen), Some(own)) => facts.compare("seccomp.filters", Some(seen), |seen| {
                seen.parse::<u32>().is_ok_and(|seen| Some(seen) == own.checked_add(1))
            }),
            // Kernels before 5.9 don't say.
            _ => facts.add("seccomp.filters", "this kernel doesn't say how many", Seen::NotVisible),
        }
    }

    pub(super) fn supplementary(&self, facts: &mut Facts, planned: PlannedGroups, supervisors: Option<&[u32]>) {
        let name = "supplementary_groups";
        match (planned, self.groups.map(ids), supervisors) {
            (_, None, _) | (PlannedGroups::Kept, _, None) => facts.hidden(name),
            (_, Some(None), _) => facts.add(name, "no list of numbers", Seen::Differs),
            (PlannedGroups::None, Some(Some(seen)), _) => {
                let state = if seen.is_empty() { Seen::AsPlanned } else { Seen::Differs };
                facts.add(name, seen.len().to_string(), state);
            }
            (PlannedGroups::Own, Some(Some(seen)), _) => {
                let own = self.group.and_then(ids).and_then(|ids| ids.first().copied());
                let is_own = seen.iter().all(|group| Some(*group) == own);
                let shown = format!("{} beside its own", seen.iter().filter(|group| Some(**group) != own).count());
                facts.add(name, shown, if is_own { Seen::AsPlanned } else { Seen::Differs });
            }
            (PlannedGroups::Kept, Some(Some(seen)), Some(own)) => {
                let state = if seen.iter().all(|group| own.contains(group)) { Seen::AsPlanned } else { Seen::Differs };
                facts.add(name, format!("{} of the user's own", seen.len()), state);
            }
        }
    }
}

/// Ids with white space between them.
pub(super) fn ids(text: &str) -> Option<Vec<u32>> {
    text.split_ascii_whitespace().map(|id| id.parse().ok()).collect()
}

/// Compares a map of ids, as its reader's user namespace sees it, with the planned one.
pub(super) fn map_is(facts: &mut Facts, name: &'static str, map: Option<&[u8]>, planned: &[Ids]) {
    let Some(map) = map.map(String::from_utf8_lossy) else {
        return facts.hidden(name);
    };
    let seen: Option<Vec<Ids>> = map
        .lines()
        .map(|line| match ids(line)?.as_slice() {
            [inside, outside, count] => Some((*inside, *outside, *count)),
            _ => None,
        })
        .collect();
    let state = if seen.as_deref() == Some(planned) { Seen::AsPlanned } else { Seen::Differs };
    let lines: Vec<_> = map.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect();
    facts.add(name, shown(&lines.join(", ")), state);
}

/// Compares a line of real, effective, saved and file system id with the one id that all four have to be.
pub(super) fn ids_are(facts: &mut Facts, name: &'static str, line: Option<&str>, planned: u32) {
    match line.map(ids) {
        None => facts.hidden(name),
        Some(Some(seen)) if seen == [planned; 4] => facts.add(name, planned.to_string(), Seen::AsPlanned),
        Some(_) => facts.compare(name, line, |_| false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ROOTS_CAPABILITIES;
    use proptest::prelude::*;

    const INIT: &str = "Name:\t13\nTracerPid:\t0\nUid:\t70000\t70000\t70000\t70000\nGid:\t70000\t70000\t70000\t70000\n\
        Groups:\t \nNSpid:\t1464\t1\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
        CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    fn facts(text: &str) -> Vec<(&'static str, Seen)> {
        facts_with(0, text)
    }

    fn facts_with(capabilities: u64, text: &str) -> Vec<(&'static str, Seen)> {
        let status = Status::parse(text.as_bytes());
        let mut facts = Facts(Vec::new());
        status.capabilities(capabilities, &mut facts);
        status.filter(&mut facts, Some(0));
        status.supplementary(&mut facts, PlannedGroups::None, None);
        ids_are(&mut facts, "user", status.user, 70000);
        facts.0.into_iter().map(|fact| (fact.name, fact.state)).collect()
    }

    #[test]
    fn a_confined_init_is_as_planned() {
        assert!(facts(INIT).iter().all(|(_, state)| *state == Seen::AsPlanned), "{:?}", facts(INIT));
    }

    #[test]
    fn each_line_that_is_otherwise_differs() {
        for (from, to, name) in [
            ("CapEff:\t0000000000000000", "CapEff:\t0000000000000001", "capabilities.effective"),
            ("CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff", "capabilities.bounding"),
            ("CapAmb:\t0000000000000000", "CapAmb:\t", "capabilities.ambient"),
            ("Seccomp:\t2", "Seccomp:\t0", "seccomp"),
            ("Seccomp_filters:\t1", "Seccomp_filters:\t0", "seccomp.filters"),
            ("Seccomp_filters:\t1", "Seccomp_filters:\t2", "seccomp.filters"),
            ("Groups:\t ", "Groups:\t4 27", "supplementary_groups"),
            ("Groups:\t ", "Groups:\tx", "supplementary_groups"),
            ("Uid:\t70000", "Uid:\t0", "user"),
            ("Uid:\t70000\t70000", "Uid:\t70000", "user"),
        ] {
            assert!(INIT.contains(from), "{from}");
            let facts = facts(&INIT.replace(from, to));
            let differing: Vec<_> = facts.iter().filter(|(_, state)| *state == Seen::Differs).collect();
            assert_eq!(differing, [&(name, Seen::Differs)], "{to}");
        }
    }

    #[test]
    fn roots_capabilities_are_these_and_no_others_and_nobody_elses() {
        let roots = INIT
            .replace("CapPrm:\t0000000000000000", "CapPrm:\t00000000000000eb")
            .replace("CapEff:\t0000000000000000", "CapEff:\t00000000000000eb")
            .replace("CapBnd:\t0000000000000000", "CapBnd:\t00000000000000eb");
        let differing = |capabilities, text: &str| {
            let facts = facts_with(capabilities, text).into_iter();
            facts.filter(|(_, state)| *state == Seen::Differs).map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(differing(ROOTS_CAPABILITIES, &roots), [""; 0]);
        let all = ["capabilities.permitted", "capabilities.effective", "capabilities.bounding"];
        assert_eq!(differing(0, &roots), all);
        assert_eq!(differing(ROOTS_CAPABILITIES, INIT), all);
        for (set, name) in [("CapInh", "capabilities.inheritable"), ("CapAmb", "capabilities.ambient")] {
            let more = roots.replace(&format!("{set}:\t0000000000000000"), &format!("{set}:\t00000000000000eb"));
            assert_eq!(differing(ROOTS_CAPABILITIES, &more), [name]);
        }
        let one_more = roots.replace("CapBnd:\t00000000000000eb", "CapBnd:\t00000000002000eb");
        assert_eq!(differing(ROOTS_CAPABILITIES, &one_more), ["capabilities.bounding"]);
    }

    #[test]
    fn a_line_that_is_missing_is_not_claimed() {
        assert!(facts("").iter().all(|(_, state)| *state == Seen::NotVisible));
    }

    #[test]
    fn its_own_group_is_no_other_and_any_else_is() {
        let own = |text: &str| {
            let mut facts = Facts(Vec::new());
            Status::parse(text.as_bytes()).supplementary(&mut facts, PlannedGroups::Own, None);
            facts.0[0].state
        };
        assert_eq!(own("Gid:\t7\t7\t7\t7\nGroups:\t7 \n"), Seen::AsPlanned);
        assert_eq!(own("Gid:\t7\t7\t7\t7\nGroups:\t \n"), Seen::AsPlanned);
        assert_eq!(own("Gid:\t7\t7\t7\t7\nGroups:\t0 7\n"), Seen::Differs);
        assert_eq!(own("Groups:\t7\n"), Seen::Differs);
        assert_eq!(own("Gid:\t7\t7\t7\t7\n"), Seen::NotVisible);
    }

    #[test]
    fn groups_that_are_kept_are_the_supervisors_own() {
        let kept = |groups: &str, own: Option<&[u32]>| {
            let text = format!("Groups:\t{groups}\n");
            let mut facts = Facts(Vec::new());
            Status::parse(text.as_bytes()).supplementary(&mut facts, PlannedGroups::Kept, own);
            facts.0[0].state
        };
        assert_eq!(kept("4 27", Some(&[4, 27, 100])), Seen::AsPlanned);
        assert_eq!(kept("4 28", Some(&[4, 27, 100])), Seen::Differs);
        assert_eq!(kept("4", None), Seen::NotVisible);
    }

    #[test]
    fn a_map_is_the_planned_one_or_differs() {
        let state = |map: Option<&[u8]>| {
            let mut facts = Facts(Vec::new());
            map_is(&mut facts, "uid_map", map, &[(0, 70000, 10), (65534, 70010, 1)]);
            facts.0[0].state
        };
        assert_eq!(state(Some(b"         0      70000         10\n     65534 70010 1\n")), Seen::AsPlanned);
        for other in ["", "0 70000 10\n", "0 70000 11\n65534 70010 1\n", "0 0 10\n65534 70010 1\n", "0 70000\n", "x"] {
            assert_eq!(state(Some(other.as_bytes())), Seen::Differs, "{other}");
        }
        assert_eq!(state(None), Seen::NotVisible);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _status = Status::parse(&text);
        }
    }
}
