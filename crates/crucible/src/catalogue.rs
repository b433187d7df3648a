//! What a configuration goes by, in the words of the wire: policies, rules and settings.

use crate::compose::{self, JAIL};
use crate::config::{
    BUILT_IN_POLICIES, Configuration, Setting, Value, policy_from_text, policy_in_words, policy_to_text,
};
use crucible_api::v1::{PolicyEntry, PolicyText, Rule, RuleList, RuleReferences, SettingEntry};
use crucible_core::{Error, ErrorKind, Policy, Result, nearest};
use crucible_evidence::policy_hash;
use crucible_scan::RuleSet;
use crucible_scan::rules::{Rule as ScanRule, Text};
use crucible_server::Catalogue;
use std::path::Path;

/// What a policy is called in mistakes that came as a text.
const TEXT: &str = "policy.toml";

/// What a service's configuration goes by.
pub struct ConfiguredCatalogue {
    configuration: Configuration,
    rules: RuleSet,
}

impl ConfiguredCatalogue {
    /// Of this configuration and the rules that are in force.
    #[must_use]
    pub const fn new(configuration: Configuration, rules: RuleSet) -> Self {
        Self { configuration, rules }
    }
}

/// What a built-in policy's file says of itself: its first sentence, up to the colon's other side.
#[must_use]
pub fn about_policy(text: &str) -> String {
    let comment = text.lines().map_while(|line| line.strip_prefix("# ")).collect::<Vec<_>>().join(" ");
    let after = comment.split_once(": ").map_or(comment.as_str(), |(_, about)| about);
    after.split_once(". ").map_or(after, |(sentence, _)| sentence).trim_end_matches('.').to_owned()
}

/// The policy of a name: a built-in one, or the one that is configured.
///
/// # Errors
/// `NotFound`; as [`compose::policy`].
pub fn named_policy(configuration: &Configuration, name: &str) -> Result<Policy> {
    if let Some(policy) = Policy::built_in(name) {
        return Ok(policy);
    }
    let configured = compose::policy(configuration, JAIL)?;
    if configured.name == name {
        return Ok(configured);
    }
    let shown: String = name.chars().take(64).collect();
    let error = Error::new(ErrorKind::NotFound, "find the policy", format!("there is no policy {shown:?}"));
    let known = Policy::BUILT_IN.into_iter().chain([configured.name.as_str()]);
    Err(match nearest(name, known) {
        Some(known) => error.with_hint(format!("did you mean '{known}'?")),
        None => error.with_hint(format!("policies here: {}", Policy::BUILT_IN.join(", "))),
    })
}

/// A rule in the words of the wire.
#[must_use]
pub fn rule(rule: &ScanRule) -> Rule {
    let texts = |texts: &[Text]| texts.iter().map(ToString::to_string).collect();
    Rule {
        id: rule.id.to_string(),
        severity: rule.severity.as_str().to_owned(),
        group: rule.group.to_string(),
        message: rule.message.to_string(),
        does: rule.does.to_string(),
        why: rule.why.to_string(),
        references: RuleReferences {
            cwe: rule.references.cwe.clone(),
            attack: texts(&rule.references.attack),
            more: texts(&rule.references.more),
        },
        languages: texts(&rule.languages),
        foreshadows: rule.foreshadows.iter().map(|kind| kind.as_str().to_owned()).collect(),
    }
}

/// A setting in the words of the wire.
#[must_use]
pub fn setting(setting: &Setting<'_>) -> SettingEntry {
    let place = match setting.origin {
        crate::config::Origin::Default { name, line } => format!("{name}:{line}"),
        origin => origin.to_string(),
    };
    let value = match setting.value {
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(String::as_str).collect(),
        Value::Empty => serde_json::Value::Null,
    };
    SettingEntry { key: setting.key.to_owned(), value, origin: setting.origin.kind().to_owned(), place }
}

impl Catalogue for ConfiguredCatalogue {
    fn policies(&self) -> Result<Vec<PolicyEntry>> {
        let configured = compose::policy(&self.configuration, JAIL)?;
        let entry = |policy: &Policy, title: String, origin: &str| PolicyEntry {
            name: policy.name.clone(),
            title,
            origin: origin.to_owned(),
            in_force: policy.name == configured.name,
            hash: policy_hash(policy),
        };
        let built_in = BUILT_IN_POLICIES
            .into_iter()
            .map(|(name, text)| entry(&Policy::built_in(name).unwrap_or_default(), about_policy(text), "built-in"));
        let mut policies: Vec<_> = built_in.collect();
        if Policy::built_in(&configured.name).is_none() {
            policies.push(entry(&configured, "the configuration's own".to_owned(), "configured"));
        }
        Ok(policies)
    }

    fn policy(&self, name: &str) -> Result<PolicyText> {
        let policy = named_policy(&self.configuration, name)?;
        Ok(PolicyText {
            name: policy.name.clone(),
            toml: policy_to_text(&policy),
            hash: policy_hash(&policy),
            in_words: policy_in_words(&policy),
        })
    }

    fn read_policy(&self, text: &str) -> Result<Policy> {
        let wrong = |error: Error| {
            let told = Error::new(ErrorKind::InvalidInput, error.operation(), format!("toml: {error}"));
            match error.hint() {
                Some(hint) => told.with_hint(hint.to_owned()),
                None => told,
            }
        };
        let file = policy_from_text(text, Path::new(TEXT)).map_err(wrong)?;
        match file.unknown_rules(self.rules.rules().iter().map(|rule| rule.id.as_str())).into_iter().next() {
            Some(problem) => Err(wrong(problem.into())),
            None => Ok(file.policy),
        }
    }

    fn rules(&self) -> RuleList {
        let digest = self.rules.digest().to_owned();
        RuleList { rules: self.rules.rules().iter().map(rule).collect(), digest }
    }

    fn settings(&self) -> Vec<SettingEntry> {
        self.configuration.settings().iter().map(setting).collect()
    }

    fn attestation(&self, id: &str) -> Result<Option<Vec<u8>>> {
        // Without a folder there are none.
        compose::evidence(&self.configuration).map_or(Ok(None), |evidence| evidence.store().envelope(id))
    }
}
