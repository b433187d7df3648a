//! From a rule as it is written to one that can be relied on.
//!
//! Invariant: what comes out of [`checked`] matches without any further question: names and globs are well-formed,
//! expressions parse, samples are bytes.

use super::literals::pattern;
use super::raw::{OneOrMany, RawLiteral, RawMatcher, RawRule, RawSample, RawTest, RawValueTest};
use super::{
    ANY_LANGUAGE, ArgumentName, ArgumentTest, LANGUAGES, Literal, Matcher, References, Rule, Sample, Shape, Tests,
    Text, ValueTest,
};
use std::collections::BTreeMap;

/// The most that a rule's expressions, names and so on may be long, in bytes.
const LONGEST: usize = 4096;

/// The deepest that matchers may be nested.
const DEEPEST: usize = 16;

pub(super) fn checked(raw: RawRule) -> Result<Rule, String> {
    let group = check_id(&raw)?;
    let languages = languages(&raw)?;
    for (what, text) in [("message", &raw.message), ("does", &raw.does)] {
        if text.trim() != text || text.is_empty() || text.contains(char::is_control) {
            return Err(format!("'{what}' has to be one line, neither empty nor with space around it"));
        }
    }
    if raw.why.trim().is_empty() {
        return Err("'why' is empty".into());
    }
    for technique in &raw.references.attack {
        if !is_technique(technique) {
            return Err(format!("'{technique}' is no technique's id, such as T1059 or T1059.004"));
        }
    }
    let matcher = matcher(raw.matcher, 0)?;
    if !can_match(&matcher) {
        return Err("it can't match anything: there is nothing in it but 'not'".into());
    }
    let sample = |sample| sample_of(sample, &languages);
    let matching = raw.tests.matching.into_iter().map(sample).collect::<Result<_, _>>()?;
    let not_matching = raw.tests.not_matching.into_iter().map(sample).collect::<Result<_, _>>()?;
    Ok(Rule {
        id: raw.id.into(),
        severity: raw.severity,
        group: group.into(),
        message: raw.message.into(),
        does: raw.does.into(),
        why: raw.why.split_whitespace().collect::<Vec<_>>().join(" ").into(),
        references: References {
            cwe: raw.references.cwe,
            attack: texts(raw.references.attack),
            more: texts(raw.references.more),
        },
        languages,
        foreshadows: raw.foreshadows.into_iter().collect(),
        matcher,
        tests: Tests { matching, not_matching },
    })
}

fn texts(strings: Vec<String>) -> Vec<Text> {
    strings.into_iter().map(Text::from).collect()
}

fn check_id(raw: &RawRule) -> Result<String, String> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let parts: Vec<&str> = raw.id.split('.').collect();
    let [language, group, _] = parts[..] else {
        return Err("an id is LANGUAGE.GROUP.NAME".into());
    };
    if !parts.iter().copied().all(is_word) {
        return Err("an id is made of small letters, digits and '-'".into());
    }
    if language != ANY_LANGUAGE && !LANGUAGES.contains(&language) {
        return Err(format!("'{language}' is no language of rules: {}, or any", LANGUAGES.join(", ")));
    }
    if group != raw.group {
        return Err(format!("the id says that the group is '{group}', 'group' says '{}'", raw.group));
    }
    Ok(group.to_owned())
}

fn languages(raw: &RawRule) -> Result<Vec<Text>, String> {
    let first = raw.id.split('.').next().unwrap_or(ANY_LANGUAGE);
    let Some(languages) = &raw.languages else {
        return Ok(vec![first.to_owned().into()]);
    };
    if let Some(unknown) = languages.iter().find(|&name| name != ANY_LANGUAGE && !LANGUAGES.contains(&name.as_str())) {
        return Err(format!("'{unknown}' is no language of rules: {}, or any", LANGUAGES.join(", ")));
    }
    let fits = if first == ANY_LANGUAGE {
        !languages.is_empty() && (languages.len() == 1 || languages.iter().all(|name| name != ANY_LANGUAGE))
    } else {
        languages.len() == 1 && languages[0] == first
    };
    if fits { Ok(texts(languages.clone())) } else { Err("'languages' doesn't fit the id".into()) }
}

fn is_technique(id: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = id.strip_prefix('T') else { return false };
    match rest.split_once('.') {
        Some((technique, part)) => digits(technique, 4) && digits(part, 3),
        None => digits(rest, 4),
    }
}

fn can_match(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::All(members) => members.iter().any(can_match),
        Matcher::Any(members) => members.iter().all(can_match),
        Matcher::Not(_) => false,
        _ => true,
    }
}

fn matcher(raw: RawMatcher, depth: usize) -> Result<Matcher, String> {
    if depth > DEEPEST {
        return Err("matchers are nested too deeply".into());
    }
    check_keys(&raw)?;
    let arguments = raw.arguments.map(arguments).transpose()?.unwrap_or_default();
    let of = raw.of.map(names).transpose()?.unwrap_or_default();
    if let Some(members) = raw.any {
        return Ok(Matcher::Any(matchers(members, depth)?));
    }
    if let Some(members) = raw.all {
        return Ok(Matcher::All(matchers(members, depth)?));
    }
    if let Some(member) = raw.not {
        return Ok(Matcher::Not(Box::new(matcher(*member, depth + 1)?)));
    }
    if let Some(list) = raw.call {
        return Ok(Matcher::Call { names: names(list)?, arguments });
    }
    if let Some(list) = raw.import {
        return Ok(Matcher::Import { names: names(list)? });
    }
    if let Some(list) = raw.attribute {
        return Ok(Matcher::Attribute { names: names(list)? });
    }
    if let Some(list) = raw.text {
        return Ok(Matcher::Text { patterns: patterns(list)? });
    }
    if let Some(list) = raw.path {
        return Ok(Matcher::Path { globs: globs(list)? });
    }
    if let Some(list) = raw.assign {
        return Ok(Matcher::Assign {
            names: names(list)?,
            value: raw.value.map(|test| value_test(test, 0)).transpose()?,
        });
    }
    if let Some(list) = raw.command {
        let piped_into = raw.piped_into.map(globs).transpose()?.unwrap_or_default();
        let redirected_to = raw.redirected_to.map(globs).transpose()?.unwrap_or_default();
        return Ok(Matcher::Command { names: globs(list)?, arguments, piped_into, redirected_to });
    }
    if let Some(shape) = raw.structure {
        if matches!(shape, Shape::CallInLoop | Shape::CallInEndlessLoop) == of.is_empty() {
            return Err("'of' names the calls of call_in_loop and call_in_endless_loop, and of nothing else".into());
        }
        return Ok(Matcher::Structure { shape, names: of });
    }
    if let Some(list) = raw.content {
        return Ok(Matcher::Content { kinds: list.0 });
    }
    if let Some(source) = raw.yara {
        return Ok(Matcher::Yara { source: source.into() });
    }
    match raw.syntax_error {
        Some(true) => Ok(Matcher::SyntaxError),
        _ => Err("'syntax_error' can only be true".into()),
    }
}

fn matchers(members: Vec<RawMatcher>, depth: usize) -> Result<Vec<Matcher>, String> {
    if members.is_empty() {
        return Err("an empty list of matchers".into());
    }
    members.into_iter().map(|member| matcher(member, depth + 1)).collect()
}

/// Exactly one kind, and beside it only what belongs to it.
fn check_keys(raw: &RawMatcher) -> Result<(), String> {
    let kinds = [
        ("any", raw.any.is_some()),
        ("all", raw.all.is_some()),
        ("not", raw.not.is_some()),
        ("call", raw.call.is_some()),
        ("import", raw.import.is_some()),
        ("attribute", raw.attribute.is_some()),
        ("text", raw.text.is_some()),
        ("path", raw.path.is_some()),
        ("assign", raw.assign.is_some()),
        ("command", raw.command.is_some()),
        ("structure", raw.structure.is_some()),
        ("syntax_error", raw.syntax_error.is_some()),
        ("content", raw.content.is_some()),
        ("yara", raw.yara.is_some()),
    ];
    let there: Vec<&str> = kinds.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
    let [kind] = there[..] else {
        let all: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
        let found = if there.is_empty() { "none".to_owned() } else { there.join(" and ") };
        return Err(format!("a matcher has one of {}; here is {found}", all.join(", ")));
    };
    let belongs = [
        ("arguments", raw.arguments.is_some(), kind == "call" || kind == "command"),
        ("value", raw.value.is_some(), kind == "assign"),
        ("piped_into", raw.piped_into.is_some(), kind == "command"),
        ("redirected_to", raw.redirected_to.is_some(), kind == "command"),
        ("of", raw.of.is_some(), kind == "structure"),
    ];
    match belongs.iter().find(|(_, is_there, fits)| *is_there && !fits) {
        Some((name, _, _)) => Err(format!("'{name}' doesn't go with '{kind}'")),
        None => Ok(()),
    }
}

fn listed(list: OneOrMany<String>) -> Result<Vec<String>, String> {
    if list.0.is_empty() {
        return Err("an empty list".into());
    }
    match list.0.iter().find(|text| text.is_empty() || text.len() > LONGEST) {
        Some(text) if text.is_empty() => Err("an empty text in a list".into()),
        Some(_) => Err(format!("a text of more than {LONGEST} bytes")),
        None => Ok(list.0),
    }
}

fn names(list: OneOrMany<String>) -> Result<Vec<Text>, String> {
    let list = listed(list)?;
    for name in &list {
        if name.contains(char::is_whitespace) {
            return Err(format!("'{name}' is no name: there is white space in it"));
        }
        if name.split('.').any(|part| part.contains("**") && part != "**") {
            return Err(format!("in '{name}', ** has to be a part of its own"));
        }
    }
    Ok(texts(list))
}

fn globs(list: OneOrMany<String>) -> Result<Vec<Text>, String> {
    listed(list).map(texts)
}

fn patterns(list: OneOrMany<String>) -> Result<Vec<super::Pattern>, String> {
    listed(list)?.into_iter().map(pattern).collect()
}

fn arguments(raw: BTreeMap<String, RawTest>) -> Result<Vec<ArgumentTest>, String> {
    raw.into_iter()
        .map(|(key, test)| {
            let names = key.split('|').map(argument_name).collect::<Result<_, _>>()?;
            Ok(ArgumentTest { names, test: value_test(test, 0)? })
        })
        .collect()
}

fn argument_name(name: &str) -> Result<ArgumentName, String> {
    match name {
        "*" => Ok(ArgumentName::Any),
        "" => Err("an argument without a name".into()),
        _ if name.bytes().all(|byte| byte.is_ascii_digit()) => {
            name.parse().map(ArgumentName::Position).map_err(|_| format!("argument {name} is out of range"))
        }
        _ => Ok(ArgumentName::Keyword(name.to_owned().into())),
    }
}

fn value_test(raw: RawTest, depth: usize) -> Result<ValueTest, String> {
    if depth > DEEPEST {
        return Err("tests of a value are nested too deeply".into());
    }
    let raw = match raw {
        RawTest::Equals(literal) => return Ok(ValueTest::Equals(literal.0)),
        RawTest::OneOf(literals) if literals.is_empty() => return Err("an empty list of constants".into()),
        RawTest::OneOf(literals) => {
            return Ok(ValueTest::Any(literals.into_iter().map(|literal| ValueTest::Equals(literal.0)).collect()));
        }
        RawTest::Test(test) => *test,
    };
    let RawValueTest { equals, text, glob, name, is, at_least, at_most, any, not } = raw;
    let mut tests = Vec::new();
    tests.extend(equals.map(|literal| ValueTest::Equals(literal.0)));
    tests.extend(text.map(patterns).transpose()?.map(ValueTest::Text));
    tests.extend(glob.map(globs).transpose()?.map(ValueTest::Glob));
    tests.extend(name.map(names).transpose()?.map(ValueTest::Name));
    tests.extend(is.map(|states| ValueTest::Is(states.0)));
    tests.extend(at_least.map(number).transpose()?.map(ValueTest::AtLeast));
    tests.extend(at_most.map(number).transpose()?.map(ValueTest::AtMost));
    if let Some(any) = any {
        let any = any.into_iter().map(|test| value_test(test, depth + 1)).collect::<Result<_, _>>()?;
        tests.push(ValueTest::Any(any));
    }
    if let Some(not) = not {
        tests.push(ValueTest::Not(Box::new(value_test(*not, depth + 1)?)));
    }
    match tests.pop() {
        None => Err("a test of a value without anything in it".into()),
        Some(only) if tests.is_empty() => Ok(only),
        Some(last) => {
            tests.push(last);
            Ok(ValueTest::All(tests))
        }
    }
}

fn number(literal: RawLiteral) -> Result<f64, String> {
    match literal.0 {
        Literal::Number(number) => Ok(number),
        _ => Err("at_least and at_most take a number".into()),
    }
}

fn sample_of(raw: RawSample, languages: &[Text]) -> Result<Sample, String> {
    let fields = raw.0;
    let bytes = match (fields.text, fields.hex) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(hex)) => from_hex(&hex).ok_or("a sample's 'hex' isn't hexadecimal")?,
        _ => return Err("a sample has either 'text' or 'hex'".into()),
    };
    let language = match fields.language {
        Some(language) if LANGUAGES.contains(&language.as_str()) => Some(language.into()),
        Some(language) if language == ANY_LANGUAGE => None,
        Some(language) => return Err(format!("a sample's language '{language}' is not known")),
        None => languages.first().filter(|&language| language != ANY_LANGUAGE).cloned(),
    };
    // What a pickle is shows in its bytes.
    Ok(Sample { language: language.filter(|language| language != "pickle"), bytes })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !digits.iter().all(u8::is_ascii_hexdigit) || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
