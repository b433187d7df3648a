//! Tests of policy files: what they mean, what a mistake is answered with, and that writing and reading agree.

use super::*;
use crucible_core::ByteSize;
use proptest::prelude::*;

fn read(text: &str) -> Result<PolicyFile> {
    policy_from_text(text, Path::new("mine.toml"))
}

fn policy(text: &str) -> Policy {
    read(text).unwrap().policy
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

#[test]
fn every_built_in_file_says_what_the_core_does() {
    assert_eq!(BUILT_IN_POLICIES.map(|(name, _)| name), Policy::BUILT_IN);
    for (name, text) in BUILT_IN_POLICIES {
        let file = policy_from_text(text, Path::new("other.toml")).unwrap();
        let core = Policy::built_in(name).unwrap();
        assert_eq!((file.policy.canonical(), &file.policy.name), (core.canonical(), &core.name), "{name}");
        assert_eq!(file.warnings, [], "{name}");
    }
}

#[test]
fn every_key_says_what_it_means() {
    let text = "
        require = ['seccomp']
        unenforced_limits = 'record'
        users = 'root'
        [before]
        deny = 'critical'
        hold = 'medium'
        deny_rules = ['net.*']
        hold_rules = ['fs.write']
        note_rules = ['fs.tmp']
        imports_allowed = ['json']
        imports_forbidden = ['socket']
        imports = 'hold'
        unread = 'deny'
        [before.least_isolation]
        high = 'own_kernel'
        [limits]
        memory = '64MiB'
        pids = 8
        [during]
        end_on = ['connection_refused', 'process_started']
        unwatched = 'record'
    ";
    let expected = Policy {
        name: "mine".to_owned(),
        require: [Layer::Seccomp].into(),
        network: NetworkPolicy::None,
        unenforced_limits: UnenforcedLimits::Record,
        unseen_posture: UnseenPosture::Record,
        warm: true,
        fresh: false,
        users: Users::Root,
        before: Before {
            deny: Some(Severity::Critical),
            hold: Some(Severity::Medium),
            deny_rules: set(&["net.*"]),
            hold_rules: set(&["fs.write"]),
            note_rules: set(&["fs.tmp"]),
            imports_allowed: Some(set(&["json"])),
            imports_forbidden: set(&["socket"]),
            imports: Some(Decision::Hold),
            unread: Some(Decision::Deny),
            least_isolation: [(Severity::High, Isolation::OwnKernel)].into(),
        },
        limits: Some(Limits { memory: ByteSize::mib(64), pids: 8, ..Limits::maximum() }),
        during: During {
            end_on: [BehaviorKind::ConnectionRefused, BehaviorKind::ProcessStarted].into(),
            unwatched: Unwatched::Record,
        },
    };
    assert_eq!(policy(text), expected);
}

#[test]
fn a_file_that_extends_another_says_only_what_differs() {
    let file = policy("extends = 'strict'\n[before]\nhold = 'never'\nnote_rules = ['fs.tmp']\n");
    let strict = Policy::strict();
    let before = Before { hold: None, note_rules: set(&["fs.tmp"]), ..strict.before.clone() };
    assert_eq!(file, Policy { name: "mine".to_owned(), before, ..strict });
    assert_eq!(policy("extends = 'default'\nrequire = []").require.len(), 0);
}

#[test]
fn a_file_that_would_require_nothing_by_omission_is_refused() {
    for text in ["", "[before]\ndeny = 'high'"] {
        let error = read(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().starts_with("mine.toml: ") && error.hint().unwrap().contains("extends"), "{error}");
    }
    assert_eq!(policy("require = []").unenforced_limits, UnenforcedLimits::Refuse);
}

#[test]
fn a_mistake_is_named_with_its_line_and_the_nearest() {
    for (text, line, message, hint) in [
        ("requires = []", 1, "unknown setting 'requires'", "did you mean 'require'?"),
        ("extends = 'stritc'", 1, "unknown value \"stritc\"", "did you mean 'strict'?"),
        ("require = []\n[befor]\ndeny = 'high'", 2, "unknown setting 'befor'", "did you mean 'before'?"),
        ("require = []\n[before]\ndenny = 'high'", 3, "'before.denny'", "did you mean 'before.deny'?"),
        ("require = []\n[before]\ndeny = 'hihg'", 3, "unknown value \"hihg\"", "did you mean 'high'?"),
        ("require = []\n[before]\nimports = 'allow'", 3, "unknown value \"allow\"", "known: hold, deny"),
        ("require = []\n[before]\nunread = 'no'", 3, "unknown value \"no\"", "known: allow, hold, deny"),
        ("require = []\n[before]\ndeny_rules = ['a*b']", 3, "\"a*b\" names no rule", ""),
        ("require = []\n[before]\nimports_allowed = ['os.*']", 3, "\"os.*\" names no module", ""),
        ("require = []\n[before.least_isolation]\nhgih = 'own_kernel'", 3, "unknown setting", "high'?"),
        ("require = []\n[before.least_isolation]\nhigh = 'none'", 3, "unknown value \"none\"", "known: shared_kernel"),
        ("require = []\n[limits]\nmemroy = '1MiB'", 3, "unknown setting", "did you mean 'limits.memory'?"),
        ("require = []\n[limits]\nmemory = '1B'", 3, "memory of 1B is outside", ""),
        ("require = []\n[during]\nend_on = ['connect_refused']", 3, "unknown value", "'connection_refused'?"),
        ("require = []\nusers = 'rot'", 2, "unknown value \"rot\"", "did you mean 'root'?"),
        ("extends = 'default'\nusers = 'root'", 2, "users: root inside has some capabilities", "extends = \"inspect\""),
        ("require = []\n[during]\nunwatched = 'ignore'", 3, "unknown value", "known: refuse, record"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
        assert!(error.to_string().starts_with(&format!("mine.toml:{line}: ")), "{text}: {error}");
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{text}: {:?}", error.hint());
    }
}

#[test]
fn clauses_that_contradict_each_other_are_mistakes() {
    for (text, line, message) in [
        ("deny_rules = ['net.dns']\nnote_rules = ['net.*']", 3, "'net.dns' denies, but before.note_rules has 'net.*'"),
        ("note_rules = ['x']\nhold_rules = ['x']", 4, "'x' holds, but before.note_rules has 'x'"),
        ("imports_allowed = ['os.path']\nimports_forbidden = ['os']", 3, "before.imports_forbidden has 'os'"),
    ] {
        let error = read(&format!("require = []\n[before]\n{text}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().starts_with(&format!("mine.toml:{line}: before.")), "{error}");
        assert!(error.to_string().contains(message) && error.hint().is_some(), "{error}");
    }
    read("require = []\n[before]\ndeny_rules = ['net.*']\nnote_rules = ['net.dns']").unwrap();
}

#[test]
fn what_does_nothing_is_warned_of_with_its_line() {
    for (text, place, message) in [
        ("[before]\ndeny = 'high'\nhold = 'critical'", "mine.toml:4", "nothing is held from critical on"),
        ("[before]\ndeny_rules = ['a*']\nhold_rules = ['a.b']", "mine.toml:4", "'a.b' is never held"),
        ("[before]\nimports = 'hold'", "mine.toml:3", "no import is allowed or forbidden"),
        ("[before.least_isolation]\nlow = 'own_kernel'\nhigh = 'shared_kernel'", "mine.toml:4", "high demands no more"),
        ("[during]\nunwatched = 'record'", "mine.toml:3", "nothing that is seen ends a run"),
    ] {
        let warnings = read(&format!("require = []\n{text}")).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].place, place);
        assert!(warnings[0].to_string().contains(message), "{}", warnings[0]);
    }
}

#[test]
fn rules_that_nobody_has_are_told() {
    let file = read("require = []\n[before]\ndeny_rules = ['net.sokcet', 'net.*', 'quaternion']").unwrap();
    let unknown = file.unknown_rules(["net.socket", "fs.write"]);
    let shown: Vec<_> = unknown.iter().map(|problem| (problem.to_string(), problem.hint.clone().unwrap())).collect();
    assert_eq!(shown[0].0, "mine.toml:3: before.deny_rules: there is no rule 'net.sokcet'");
    assert_eq!(shown[0].1, "did you mean 'net.socket'?");
    assert_eq!((shown.len(), shown[1].1.as_str()), (2, "`crucible rules list` shows them"));
}

#[test]
fn the_order_and_the_way_in_which_a_policy_is_written_make_no_difference() {
    let one = policy("require = ['seccomp', 'rlimits']\n[before]\nimports_forbidden = ['os', 'os.path']");
    let other = policy(
        "name = 'x'\nrequire = ['rlimits', 'seccomp', 'rlimits']\n[during]\n[limits]\n[before]\nimports = 'deny'\n\
         unread = 'hold'\nimports_forbidden = ['os']",
    );
    let hashes = [&one, &other].map(crucible_evidence::policy_hash);
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], crucible_evidence::policy_hash(&Policy { before: Before::default(), ..one }));
}

#[test]
fn a_policy_is_told_in_words() {
    let strict = policy_in_words(&Policy::strict()).join("\n");
    for part in ["critical or above denies", "high or above holds", "can't be read whole is held", "every layer"] {
        assert!(strict.contains(part), "{strict}");
    }
    let text = "extends = 'default'\n[before]\nimports_allowed = []\n[before.least_isolation]\nhigh = 'own_kernel'\n\
        [limits]\npids = 3\n[during]\nend_on = ['process_started']";
    let words = policy_in_words(&policy(text)).join("\n");
    for part in
        ["anything but none denies it", "demands the isolation own kernel", "at most: pids 3\n", "ended at once by"]
    {
        assert!(words.contains(part), "{words}");
    }
    assert!(policy_in_words(&Policy::default()).join("\n").contains("it runs"));
    let wasm = policy_in_words(&policy("extends = 'strict'\nrequire = ['web_assembly']")).join("\n");
    assert!(wasm.contains("only programs that are WebAssembly run"), "{wasm}");
}

/// What a fuzz target begins with, and what it once found.
#[test]
fn every_seed_of_the_fuzz_target_reads_back_or_is_refused_with_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/policy_file");
    let mut sound = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        // The target gives no text that isn't UTF-8 to the reader, as the command doesn't.
        let Ok(text) = String::from_utf8(std::fs::read(&path).unwrap()) else { continue };
        match read(&text) {
            Ok(file) => {
                let written = policy_to_text(&file.policy);
                let again = read(&written).unwrap_or_else(|error| panic!("{}: {error}\n{written}", path.display()));
                assert_eq!(again.policy, file.policy, "{}", path.display());
                sound += 1;
            }
            Err(error) => assert!(error.to_string().starts_with("mine.toml:"), "{}: {error}", path.display()),
        }
    }
    assert!(sound >= 8, "{sound} are policies");
}

fn names() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set("[a-z][a-z0-9._-]{0,12}", 0..6)
}

fn policies() -> impl Strategy<Value = Policy> {
    let severity = || proptest::option::of(proptest::sample::select(Severity::ALL.to_vec()));
    let decision = |from: usize| {
        let decisions = [Decision::Allow, Decision::Hold, Decision::Deny];
        proptest::option::of(proptest::sample::select(decisions[from..].to_vec()))
    };
    let walls = proptest::collection::btree_map(
        proptest::sample::select(Severity::ALL.to_vec()),
        proptest::sample::select(vec![Isolation::SharedKernel, Isolation::OwnKernel]),
        0..3,
    );
    let layers = proptest::sample::subsequence(Layer::ALL.to_vec(), 0..Layer::ALL.len());
    let kinds = proptest::sample::subsequence(BehaviorKind::ALL.to_vec(), 0..BehaviorKind::ALL.len());
    let clauses =
        (severity(), severity(), names(), names(), proptest::option::of(names()), decision(1), decision(0), walls);
    (".{0,20}", layers, kinds, clauses, any::<bool>(), 1_u32..9).prop_map(
        |(name, layers, kinds, (deny, hold, rules, modules, allowed, imports, unread, walls), flag, pids)| {
            // Apart, so that they contradict each other nowhere.
            let begin =
                |with: &str, items: &BTreeSet<String>| items.iter().map(|item| format!("{with}{item}")).collect();
            // Root inside and the loss of all capabilities contradict each other.
            let roots = flag && !layers.contains(&Layer::Capabilities);
            Policy {
                name,
                require: layers.into_iter().collect(),
                network: NetworkPolicy::None,
                unenforced_limits: if flag { UnenforcedLimits::Record } else { UnenforcedLimits::Refuse },
                unseen_posture: if flag { UnseenPosture::Refuse } else { UnseenPosture::Record },
                warm: flag,
                fresh: !flag,
                users: if roots { Users::Root } else { Users::Guest },
                before: Before {
                    deny,
                    hold,
                    deny_rules: begin("d.", &rules),
                    hold_rules: begin("h.", &rules),
                    note_rules: begin("n.", &rules),
                    imports_allowed: allowed.map(|allowed| begin("a.", &allowed)),
                    imports_forbidden: begin("f.", &modules),
                    imports,
                    unread,
                    least_isolation: walls,
                },
                limits: flag.then(|| Limits { pids, memory: ByteSize::mib(64), ..Limits::maximum() }),
                during: During {
                    end_on: kinds.into_iter().collect(),
                    unwatched: if flag { Unwatched::Record } else { Unwatched::Refuse },
                },
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_back(policy in policies()) {
        let text = policy_to_text(&policy);
        let file = policy_from_text(&text, Path::new("mine.toml")).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(file.policy, policy);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(extends|require|name|before|limits|during|deny|[\\[\\]='\",.\n a-z0-9*]){0,60}") {
        if let Err(error) = read(&text) {
            prop_assert_eq!(error.kind(), ErrorKind::Configuration);
        }
    }
}
