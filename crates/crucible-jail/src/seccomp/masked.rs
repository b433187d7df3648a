//! The table in the form that other programs load filters in: rules whose tests compare an argument under a mask, and of
//! which no two that answer differently hold at once.
//!
//! Invariant: what these rules allow, [`compile`](super::compile) allows, too. What no rule is about is to be refused with
//! [`MASKED_DEFAULT`]; where arguments decide, that may stand for another errno of the table's. Where a test excludes single
//! numbers, only numbers that mean something to the call are allowed, see [`domain`]: every rule costs each container's start
//! a fifth of a millisecond. It knows neither names of calls nor anybody's file format.

use super::{Alternative, Answer, Connections, Half, Rule, TABLE, Test, Wanted, makes, table};
use libc::c_long;

/// The errno of everything that no rule is about.
pub const MASKED_DEFAULT: i32 = table::REFUSED;

/// What an argument has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskedTest {
    /// Which argument, counted from 0.
    pub index: u32,
    /// The bits that count.
    pub mask: u64,
    /// What they are to be.
    pub value: u64,
}

/// What happens to some calls where all tests hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedRule {
    /// The calls' numbers.
    pub calls: &'static [c_long],
    /// What their arguments have to be; each argument is there at most once.
    pub tests: Vec<MaskedTest>,
    /// The errno with which they are refused (0: as if they had succeeded); `None` where they are made.
    pub errno: Option<i32>,
}

/// The whole table.
#[must_use]
pub fn masked_rules(connections: Connections) -> Vec<MaskedRule> {
    let mut rules = Vec::new();
    for entry in TABLE {
        let domain = domain(entry.calls);
        let mut add = |tests: Vec<MaskedTest>, answer: Answer| {
            let errno = match answer {
                Answer::Allow => None,
                Answer::Refuse(errno) | Answer::Report(errno) => Some(errno),
            };
            rules.push(MaskedRule { calls: entry.calls, tests, errno });
        };
        let mut add_all = |alternatives: &[Alternative], answer: Answer| {
            alternatives.iter().flat_map(|one| tests_of(one, domain)).for_each(|tests| add(tests, answer));
        };
        match &entry.rule {
            _ if makes(connections, entry) => add(Vec::new(), Answer::Allow),
            Rule::Always(answer) => add(Vec::new(), *answer),
            Rule::AllowWhen(alternatives, otherwise) => {
                add_all(alternatives, Answer::Allow);
                // A single bit is set or not, so that the opposite is one test, too.
                if let [[test]] = alternatives
                    && let Some(opposite) = opposite_bit(test)
                {
                    add(vec![opposite], *otherwise);
                }
            }
            Rule::Cases(cases, otherwise) => {
                cases.iter().for_each(|(alternatives, answer)| add_all(alternatives, *answer));
                if *otherwise == Answer::Allow {
                    let (index, ranges) = lengths(cases);
                    blocks(&ranges, Sought::Outside, domain).into_iter().for_each(|(mask, value)| {
                        add(vec![MaskedTest { index, mask, value }], Answer::Allow);
                    });
                }
            }
        }
    }
    rules
}

/// How many bits the numbers have that are told apart by excluding some, or by what they are at least; larger ones are refused.
fn domain(calls: &[c_long]) -> u32 {
    let is = |of: &[c_long]| calls.iter().any(|call| of.contains(call));
    if is(&[libc::SYS_setrlimit, libc::SYS_prlimit64]) {
        // There are 16 limits.
        4
    } else if is(&[libc::SYS_fcntl]) {
        // The highest commands lie a little above 1024.
        11
    } else if is(&[libc::SYS_connect, libc::SYS_bind, libc::SYS_sendto]) {
        // The longest address has 128 bytes.
        8
    } else if is(&[libc::SYS_setpriority, libc::SYS_sched_setscheduler]) {
        // The caller alone: hardly anybody names another process.
        1
    } else {
        // The most that a process can be numbered with.
        22
    }
}

/// The argument that all cases are about, and the ranges of it that they name. A case about more than one argument would
/// name none, and so leave nothing allowed.
fn lengths(cases: &[(&[Alternative], Answer)]) -> (u32, Vec<(u32, u32)>) {
    let mut tests = cases.iter().flat_map(|(alternatives, _)| alternatives.iter());
    let first = tests.clone().next().and_then(|one| one.first());
    let index = first.map_or(0, |test| test.argument as u32);
    let range = |one: &Alternative| match one {
        [test] if test.argument as u32 == index => range_of(test),
        _ => None,
    };
    let ranges: Option<Vec<_>> = tests.by_ref().map(range).collect();
    (index, ranges.unwrap_or_else(|| vec![(0, u32::MAX)]))
}

fn range_of(test: &Test) -> Option<(u32, u32)> {
    match (test.half, test.mask, test.wanted) {
        (Half::Lower, u32::MAX, Wanted::Same) => Some((test.value, test.value)),
        (Half::Lower, u32::MAX, Wanted::AtLeast) => Some((test.value, u32::MAX)),
        _ => None,
    }
}

fn opposite_bit(test: &Test) -> Option<MaskedTest> {
    let is_one_bit = test.mask.is_power_of_two() && matches!((test.half, test.wanted), (Half::Lower, Wanted::Same));
    let mask = u64::from(test.mask);
    is_one_bit.then(|| MaskedTest { index: test.argument as u32, mask, value: u64::from(!test.value) & mask })
}

/// The ways in which all of an alternative's tests hold.
fn tests_of(alternative: Alternative, domain: u32) -> Vec<Vec<MaskedTest>> {
    let mut ways: Vec<Vec<MaskedTest>> = vec![Vec::new()];
    for index in 0..6 {
        let of_it = || alternative.iter().filter(|test| test.argument as u32 == index);
        let mut options = vec![(0_u64, 0_u64)];
        for test in of_it() {
            let shift = 32 * test.half as u32;
            let found = match test.wanted {
                Wanted::Same => vec![(u64::from(test.mask), u64::from(test.value))],
                Wanted::AtLeast => blocks(&[(test.value, u32::MAX)], Sought::Inside, domain),
                // All that an argument is not to be is looked at together, below.
                Wanted::Other => continue,
            };
            let found: Vec<_> = found.iter().map(|(mask, value)| (mask << shift, value << shift)).collect();
            options = both(&options, &found);
        }
        let others: Vec<_> =
            of_it().filter(|test| matches!(test.wanted, Wanted::Other)).map(|test| (test.value, test.value)).collect();
        if !others.is_empty() {
            options = both(&options, &blocks(&others, Sought::Outside, domain));
        }
        if of_it().next().is_some() {
            ways = ways
                .iter()
                .flat_map(|way| {
                    options.iter().map(move |(mask, value)| {
                        let mut way = way.clone();
                        way.push(MaskedTest { index, mask: *mask, value: *value });
                        way
                    })
                })
                .collect();
        }
    }
    ways
}

/// What is in both sets of blocks.
fn both(some: &[(u64, u64)], others: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let pairs = some.iter().flat_map(|one| others.iter().map(move |other| (one, other)));
    pairs
        .filter(|((mask, value), (other_mask, other))| (value ^ other) & mask & other_mask == 0)
        .map(|((mask, value), (other_mask, other))| (mask | other_mask, value | other))
        .collect()
}

/// Which numbers are sought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sought {
    Inside,
    Outside,
}

/// Numbers of so many bits inside (or outside) of all these ranges, as masks and values of the bits above a block's own. The
/// bits above count on all 32 that the kernel looks at.
fn blocks(ranges: &[(u32, u32)], sought: Sought, domain: u32) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut ahead = vec![(0_u32, domain)];
    while let Some((start, bits)) = ahead.pop() {
        let below = u32::MAX.checked_shr(32 - bits).unwrap_or(0);
        let end = start | below;
        if ranges.iter().any(|(first, last)| *first <= start && end <= *last) {
            found.extend((sought == Sought::Inside).then_some((u64::from(!below), u64::from(start))));
        } else if !ranges.iter().any(|(first, last)| *first <= end && start <= *last) {
            found.extend((sought == Sought::Outside).then_some((u64::from(!below), u64::from(start))));
        } else {
            ahead.push((start | (1 << (bits - 1)), bits - 1));
            ahead.push((start, bits - 1));
        }
    }
    found
}
