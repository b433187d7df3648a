//! Tests of the layering: what wins, where it is said to come from, and what a mistake is answered with.

use super::*;
use crucible_core::{ByteSize, LimitKind};
use std::fs;
use std::time::Instant;

fn environment(folder: &Path, more: &[(&str, &str)]) -> Environment {
    let home = ("HOME", folder.to_str().unwrap());
    more.iter().chain([&home]).map(|(name, value)| (name.into(), value.into())).collect()
}

fn home(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(".config/crucible")).unwrap();
    fs::write(folder.path().join(".config/crucible/config.toml"), file).unwrap();
    folder
}

fn load(file: &str, variables: &[(&str, &str)], overrides: &Overrides) -> Result<Configuration> {
    let folder = home(file);
    Configuration::load(&environment(folder.path(), variables), overrides)
}

fn flag(key: &'static str, value: &str, flag: &'static str) -> Overrides {
    Overrides { preset: None, settings: vec![Override { key, value: value.to_owned(), flag }] }
}

fn origin(configuration: &Configuration, key: &str) -> String {
    configuration.settings().into_iter().find(|setting| setting.key == key).unwrap().origin.to_string()
}

#[test]
fn the_embedded_file_says_what_the_code_does_and_leaves_nothing_out() {
    let configuration = Configuration::built_in().unwrap();
    assert_eq!(configuration.limits(), &Limits::default());
    assert_eq!(configuration.maximum(), &Limits::maximum());
    for kind in LimitKind::ALL {
        for section in ["limits", "maximum"] {
            assert!(configuration.values.get(&format!("{section}.{kind}")).is_some(), "{section}.{kind}");
        }
    }
    for variable in VARIABLES {
        if let Some(key) = variable.setting {
            assert!(configuration.values.get(key).is_some(), "{key}");
        }
    }
    assert_eq!(configuration.policy().unwrap().name, "default");
    assert_eq!(configuration.network().unwrap(), None);
    configuration.languages().find("python").unwrap();
    let jail = crucible_backends::jail::JailConfig::default();
    assert_eq!(configuration.cgroup_parent(), jail.cgroup_parent);
    assert_eq!(
        (configuration.uid_start().unwrap(), configuration.uid_count().unwrap()),
        (jail.uid_start, jail.uid_count)
    );
}

#[test]
fn what_comes_later_wins_and_says_where_it_came_from() {
    let file = "[limits]\nmemory = '64MiB'\ndisk = '8MiB'\npids = 32\n";
    let variables = [("CRUCIBLE_LIMITS_MEMORY", "96MiB"), ("CRUCIBLE_LIMITS_DISK", "9MiB")];
    let configuration = load(file, &variables, &flag("limits.memory", "128MiB", "--memory")).unwrap();
    assert_eq!(configuration.limits().memory, ByteSize::mib(128));
    assert_eq!(configuration.limits().disk, ByteSize::mib(9));
    assert_eq!(configuration.limits().pids, 32);
    assert_eq!(origin(&configuration, "limits.memory"), "--memory");
    assert_eq!(origin(&configuration, "limits.disk"), "CRUCIBLE_LIMITS_DISK");
    assert!(origin(&configuration, "limits.pids").ends_with("/.config/crucible/config.toml:4"));
    assert!(origin(&configuration, "limits.stack").starts_with("default (default.toml:"));
}

#[test]
fn a_preset_stands_between_the_environment_and_the_flags() {
    let file = "[presets.mine]\nbackend = 'subprocess'\n[presets.mine.env]\nA = 'b'\n[presets.mine.limits]\npids = 9\nmemory = '32MiB'\n";
    let mut overrides = flag("limits.memory", "48MiB", "--memory");
    overrides.preset = Some("mine".to_owned());
    let configuration = load(file, &[("CRUCIBLE_LIMITS_PIDS", "20")], &overrides).unwrap();
    assert_eq!((configuration.limits().pids, configuration.limits().memory), (9, ByteSize::mib(48)));
    assert_eq!(configuration.backend(), "subprocess");
    assert_eq!(configuration.env().get("A").map(String::as_str), Some("b"));
    assert!(origin(&configuration, "limits.pids").ends_with("config.toml:6"));
}

#[test]
fn an_unknown_preset_policy_or_setting_is_answered_with_the_nearest() {
    let preset = Overrides { preset: Some("qiuck".to_owned()), settings: vec![] };
    let error = load("", &[], &preset).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("'quick'"), "{:?}", error.hint());
    let error = load("", &[], &flag("run.policy", "stritc", "--policy")).unwrap().policy().unwrap_err();
    assert!(error.hint().unwrap().contains("'strict'"));
    let error = load("[limits]\n\nmemroy = '1MiB'\n", &[], &Overrides::default()).unwrap_err();
    assert!(error.to_string().ends_with("config.toml:3: unknown setting 'limits.memroy'"), "{error}");
    assert_eq!(error.hint(), Some("did you mean 'limits.memory'?"));
}

#[test]
fn a_wrong_unit_is_named_with_its_place() {
    let error = load("[limits]\nmemory = 256\n", &[], &Overrides::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("config.toml:2"), "{error}");
    assert!(error.to_string().contains("\"256\" is not a size with its unit"), "{error}");
    let error = load("", &[("CRUCIBLE_LIMITS_PIDS", "many")], &Overrides::default()).unwrap_err();
    assert!(error.to_string().starts_with("CRUCIBLE_LIMITS_PIDS: \"many\" is not a whole number"), "{error}");
    let error = load("[presets.x.limits]\ntimeout = '10'\n", &[], &Overrides::default()).unwrap_err();
    assert!(error.to_string().contains("config.toml:2"), "{error}");
}

#[test]
fn a_limit_out_of_range_is_blamed_on_whoever_set_it() {
    let error = load("", &[], &flag("limits.memory", "0B", "--memory")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "--memory: memory of 0B is outside 4MiB to 1TiB");
    let error = load("[maximum]\npids = 10\n", &[], &Overrides::default()).unwrap_err();
    assert!(error.to_string().contains("pids of 64 is outside 1 to 10"), "{error}");
    assert!(error.hint().unwrap().contains("config.toml:2"), "{error:?}");
    let error = load("[maximum]\nmemory = '1MiB'\n", &[], &Overrides::default()).unwrap_err();
    assert!(error.to_string().contains("config.toml:2"), "{error}");
}

#[test]
fn a_missing_file_matters_only_if_it_was_named() {
    let empty = tempfile::tempdir().unwrap();
    Configuration::load(&environment(empty.path(), &[]), &Overrides::default()).unwrap();
    let named = environment(empty.path(), &[("CRUCIBLE_CONFIG", "/no/such/file.toml")]);
    let error = Configuration::load(&named, &Overrides::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("/no/such/file.toml"));
    let folder = environment(empty.path(), &[("CRUCIBLE_CONFIG", "/")]);
    assert_eq!(Configuration::load(&folder, &Overrides::default()).unwrap_err().kind(), ErrorKind::Configuration);
}

#[test]
fn a_language_can_be_added_and_a_built_in_one_changed_key_by_key() {
    let file = "[languages.lua]\nrun = ['{interpreter}', '{file}']\nfile_name = 'main.lua'\n[languages.python]\ninterpreters = ['pypy3']\n";
    let configuration = load(file, &[], &Overrides::default()).unwrap();
    assert_eq!(configuration.languages().find("lua").unwrap().1.title, "lua");
    let (_, python) = configuration.languages().find("python").unwrap();
    assert_eq!(python.interpreters, ["pypy3"]);
    assert!(!python.run.is_empty());
    let error = load("[languages.lua]\nfile_name = 'main.lua'\n", &[], &Overrides::default()).unwrap_err();
    assert!(error.to_string().contains("config.toml:2: languages.lua: `run` is missing"), "{error}");
}

#[test]
fn a_policy_file_is_read_relative_to_the_file_that_names_it() {
    let folder = home("[run]\npolicy = './mine.toml'\n");
    let beside = folder.path().join(".config/crucible/mine.toml");
    let text = "require = ['seccomp']\nunenforced_limits = 'record'\nunseen_posture = 'refuse'\n";
    fs::write(&beside, text).unwrap();
    let configuration = Configuration::load(&environment(folder.path(), &[]), &Overrides::default()).unwrap();
    let policy = configuration.policy().unwrap();
    assert_eq!((policy.name.as_str(), policy.require.len()), ("mine", 1));
    assert_eq!(policy.unseen_posture, crucible_core::UnseenPosture::Refuse);
    assert_eq!(configuration.policy_chosen(), Chosen::ByPerson);
    fs::write(&beside, "\nrequire = ['seccmop']\n").unwrap();
    let error = configuration.policy().unwrap_err();
    assert!(error.to_string().contains("mine.toml:2"), "{error}");
    assert_eq!(error.hint(), Some("did you mean 'seccomp'?"));
}

#[test]
fn earlier_runs_lie_where_the_documentation_says() {
    let home: Environment = [("HOME".into(), "/home/u".into())].into_iter().collect();
    let folder = |environment: &Environment| {
        Configuration::load(environment, &Overrides::default())
            .unwrap()
            .baseline_folder()
            .map(|path| path.as_path().to_owned())
    };
    assert_eq!(folder(&home).unwrap(), Path::new("/home/u/.local/share/crucible/baselines"));
    let own: Environment = [("CRUCIBLE_BASELINE_FOLDER".into(), "/y".into())].into_iter().collect();
    assert_eq!(folder(&own).unwrap(), Path::new("/y"));
    assert_eq!(folder(&Environment::default()), None);
}

#[test]
fn the_evidence_lies_where_the_documentation_says() {
    let folder = |file: &str, variables: &[(&str, &str)]| {
        let home = home(file);
        let load = Configuration::load(&environment(home.path(), variables), &Overrides::default());
        let path = load.unwrap().evidence_folder().unwrap().as_path().to_owned();
        path.strip_prefix(home.path()).map_or_else(|_| path.clone(), Path::to_owned)
    };
    assert_eq!(folder("", &[]), Path::new(".local/share/crucible/evidence"));
    assert_eq!(folder("", &[("XDG_DATA_HOME", "/data")]), Path::new("/data/crucible/evidence"));
    assert_eq!(folder("[evidence]\nfolder = 'own'\n", &[]), Path::new(".config/crucible/own"));
    assert_eq!(folder("[evidence]\nfolder = '/x'\n", &[("CRUCIBLE_EVIDENCE_FOLDER", "/y")]), Path::new("/y"));
    let nobodys = Configuration::load(&Environment::default(), &Overrides::default()).unwrap();
    assert_eq!(nobodys.evidence_folder(), None);
}

#[test]
fn held_programs_lie_where_the_documentation_says() {
    let variables = [("XDG_DATA_HOME", "/data")];
    let folder = |file: &str| load(file, &variables, &Overrides::default()).unwrap().review_folder().unwrap();
    assert_eq!(folder("").as_path(), Path::new("/data/crucible/reviews"));
    assert_eq!(folder("[review]\nfolder = '/x'\n").as_path(), Path::new("/x"));
    let nobodys = Configuration::load(&Environment::default(), &Overrides::default()).unwrap();
    assert_eq!(nobodys.review_folder(), None);
}

#[test]
fn reading_the_defaults_is_cheap() {
    let start = Instant::now();
    for _ in 0..20 {
        Configuration::built_in().unwrap();
    }
    // A tenth of this in a release build; the bound only catches something quadratic.
    assert!(start.elapsed().as_millis() < 20 * 50, "{:?}", start.elapsed() / 20);
}
