//! Which settings there are, as data. Nothing else decides whether a key is known.

use super::document::{Segment, Value};
use crucible_core::nearest;

/// A place in the tree of settings.
pub(crate) enum Node {
    /// One value.
    Text,
    /// A list of values.
    List,
    /// A table with these keys.
    Section(&'static [(&'static str, Node)]),
    /// A table whose keys a person chooses, each holding such a node.
    Named(&'static Node),
    /// A table of environment variables.
    Variables,
}

const LIMITS: Node = Node::Section(&[
    ("timeout", Node::Text),
    ("cpu_time", Node::Text),
    ("cpus", Node::Text),
    ("memory", Node::Text),
    ("pids", Node::Text),
    ("disk", Node::Text),
    ("inodes", Node::Text),
    ("open_files", Node::Text),
    ("file_size", Node::Text),
    ("output", Node::Text),
    ("stack", Node::Text),
]);

const PRESET_KEYS: &[(&str, Node)] = &[
    ("description", Node::Text),
    ("backend", Node::Text),
    ("policy", Node::Text),
    ("network", Node::Text),
    ("language", Node::Text),
    ("limits", LIMITS),
    ("env", Node::Variables),
];

/// What a file given as `--preset` may hold.
pub(crate) const PRESET: Node = Node::Section(PRESET_KEYS);

/// What a file given as `--policy` may hold.
pub(crate) const POLICY: Node = Node::Section(&[
    ("extends", Node::Text),
    ("name", Node::Text),
    ("require", Node::List),
    ("network", Node::Text),
    ("unenforced_limits", Node::Text),
    ("unseen_posture", Node::Text),
    ("warm", Node::Text),
    ("fresh", Node::Text),
    ("users", Node::Text),
    ("before", BEFORE),
    ("limits", LIMITS),
    ("during", Node::Section(&[("end_on", Node::List), ("unwatched", Node::Text)])),
]);

const BEFORE: Node = Node::Section(&[
    ("deny", Node::Text),
    ("hold", Node::Text),
    ("deny_rules", Node::List),
    ("hold_rules", Node::List),
    ("note_rules", Node::List),
    ("imports_allowed", Node::List),
    ("imports_forbidden", Node::List),
    ("imports", Node::Text),
    ("unread", Node::Text),
    ("least_isolation", Node::Section(SEVERITIES)),
]);

const SEVERITIES: &[(&str, Node)] = &[
    ("info", Node::Text),
    ("low", Node::Text),
    ("medium", Node::Text),
    ("high", Node::Text),
    ("critical", Node::Text),
];

const LANGUAGE: Node = Node::Section(&[
    ("title", Node::Text),
    ("endings", Node::List),
    ("aliases", Node::List),
    ("interpreters", Node::List),
    ("run", Node::List),
    ("file_name", Node::Text),
    ("probe", Node::List),
    ("files", Node::List),
    ("image", Node::Text),
    ("env", Node::Variables),
    ("install_hint", Node::Text),
    ("wasm", Node::Text),
    ("ready", Node::Text),
    ("preload", Node::List),
]);

const SECTIONS: &[(&str, Node)] = &[
    (
        "run",
        Node::Section(&[
            ("backend", Node::Text),
            ("policy", Node::Text),
            ("network", Node::Text),
            ("language", Node::Text),
        ]),
    ),
    ("limits", LIMITS),
    ("maximum", LIMITS),
    ("jail", Node::Section(&[("cgroup_parent", Node::Text), ("uid_start", Node::Text), ("uid_count", Node::Text)])),
    ("docker", Node::Section(&[("host", Node::Text), ("runtime", Node::Text), ("image", Node::Text)])),
    ("gvisor", Node::Section(&[("runsc", Node::Text), ("platform", Node::Text)])),
    ("wasm", Node::Section(&[("runtimes", Node::Text), ("compiled", Node::Text)])),
    (
        "warm",
        Node::Section(&[
            ("most", Node::Text),
            ("memory", Node::Text),
            ("oldest", Node::Text),
            ("languages", Node::List),
        ]),
    ),
    ("cache", Node::Section(&[("interpreters", Node::Text)])),
    ("evidence", Node::Section(&[("folder", Node::Text)])),
    ("scan", Node::Section(&[("rules", Node::List)])),
    ("review", Node::Section(&[("folder", Node::Text)])),
    ("baseline", Node::Section(&[("folder", Node::Text)])),
    ("sandbox", Node::Section(&[("folder", Node::Text)])),
    (
        "serve",
        Node::Section(&[
            ("listen", Node::Text),
            ("data", Node::Text),
            ("auth", Node::Text),
            ("most_running", Node::Text),
            (
                "most_running_on",
                Node::Section(&[
                    ("jail", Node::Text),
                    ("docker", Node::Text),
                    ("gvisor", Node::Text),
                    ("wasm", Node::Text),
                    ("subprocess", Node::Text),
                ]),
            ),
            ("most_queued", Node::Text),
            ("most_requests", Node::Text),
            ("webhook_networks", Node::List),
            ("request_networks", Node::List),
            ("attempts", Node::Text),
            ("keep", Node::Text),
            ("page", Node::Text),
        ]),
    ),
    ("client", Node::Section(&[("server", Node::Text)])),
    ("presets", Node::Named(&PRESET)),
    ("languages", Node::Named(&LANGUAGE)),
];

/// What the configuration file may hold.
pub(crate) const CONFIGURATION: Node = Node::Section(SECTIONS);

/// The place of a section in what is shown.
pub(crate) fn rank(section: &str) -> usize {
    SECTIONS.iter().position(|(name, _)| *name == section).unwrap_or(SECTIONS.len())
}

/// What is wrong with a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Which part of the key is wrong.
    pub(crate) depth: usize,
    /// What is wrong, as the end of «PLACE: ».
    pub(crate) message: String,
    /// The mend.
    pub(crate) hint: Option<String>,
}

/// Compares one key and the kind of its value with the settings there are.
pub(crate) fn check(root: &Node, path: &[Segment], value: &Value) -> Result<(), Mismatch> {
    let full =
        |count: usize| path.iter().take(count).map(|segment| segment.name.as_str()).collect::<Vec<_>>().join(".");
    let mut node = root;
    for (depth, segment) in path.iter().enumerate() {
        let wrong = |message: String, hint: Option<String>| Err(Mismatch { depth, message, hint });
        node = match node {
            Node::Section(keys) => match keys.iter().find(|(name, _)| *name == segment.name) {
                Some((_, inner)) => inner,
                None => {
                    let prefix = if depth == 0 { String::new() } else { format!("{}.", full(depth)) };
                    let hint = match nearest(&segment.name, keys.iter().map(|(name, _)| *name)) {
                        Some(name) => format!("did you mean '{prefix}{name}'?"),
                        None => {
                            format!("known here: {}", keys.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))
                        }
                    };
                    return wrong(format!("unknown setting '{}'", full(depth + 1)), Some(hint));
                }
            },
            Node::Named(inner) => {
                let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '#');
                if segment.name.is_empty() || segment.name.len() > 64 || !segment.name.chars().all(sound) {
                    let hint = "a name has 1 to 64 letters, digits, '_', '-', '+' or '#'".to_owned();
                    return wrong(format!("{:?} can't be a name", segment.name), Some(hint));
                }
                inner
            }
            Node::Variables => {
                if segment.name.is_empty() || segment.name.contains(['=', '\0']) {
                    return wrong(format!("{:?} can't be the name of an environment variable", segment.name), None);
                }
                &Node::Text
            }
            Node::Text | Node::List => {
                return wrong(format!("'{}' is a value, not a table", full(depth)), None);
            }
        };
    }
    let is = match (node, value) {
        (Node::Text, Value::Text(_)) | (Node::List, Value::List(_)) => return Ok(()),
        (Node::Section(_) | Node::Named(_) | Node::Variables, Value::Empty) => return Ok(()),
        (Node::Text, _) => "one value",
        (Node::List, _) => "a list of texts",
        (Node::Section(_) | Node::Named(_) | Node::Variables, _) => "a table",
    };
    Err(Mismatch {
        depth: path.len().saturating_sub(1),
        message: format!("'{}' must be {is}", full(path.len())),
        hint: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crucible_core::{LimitKind, Limits};

    fn path(key: &str) -> Vec<Segment> {
        key.split('.').map(|name| Segment { name: name.to_owned(), line: 1 }).collect()
    }

    fn text(key: &str) -> Result<(), Mismatch> {
        check(&CONFIGURATION, &path(key), &Value::Text(String::new()))
    }

    #[test]
    fn every_limit_of_the_core_is_a_setting_and_no_other() {
        let Node::Section(keys) = LIMITS else { panic!("limits are a section") };
        let names: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, LimitKind::ALL.map(LimitKind::as_str));
        assert_eq!(names.len(), serde_json::to_value(Limits::default()).unwrap().as_object().unwrap().len());
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_at_its_depth() {
        assert_eq!(text("limts.memory").unwrap_err().hint.unwrap(), "did you mean 'limits'?");
        let error = text("limits.memroy").unwrap_err();
        assert_eq!((error.depth, error.message.as_str()), (1, "unknown setting 'limits.memroy'"));
        assert_eq!(error.hint.unwrap(), "did you mean 'limits.memory'?");
        assert_eq!(text("languages.ruby.titel").unwrap_err().hint.unwrap(), "did you mean 'languages.ruby.title'?");
        assert!(text("jail.quaternions").unwrap_err().hint.unwrap().starts_with("known here: cgroup_parent"));
    }

    #[test]
    fn values_and_tables_are_not_mistaken_for_each_other() {
        assert_eq!(text("limits.memory.soft").unwrap_err().message, "'limits.memory' is a value, not a table");
        assert_eq!(text("limits").unwrap_err().message, "'limits' must be a table");
        assert_eq!(text("languages.c.run").unwrap_err().message, "'languages.c.run' must be a list of texts");
        assert!(text("presets.x.env.A.B").is_err());
        assert!(text("presets.../x.env").is_err());
        check(&CONFIGURATION, &path("languages.x.env"), &Value::Empty).unwrap();
    }
}
