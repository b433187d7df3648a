//! The configuration as the command meets it, and the commands that look at it and at the machine.

use crate::support::{backends, crucible};

#[test]
fn every_value_is_shown_with_where_it_came_from() {
    let show = crucible(&["config", "show", "--pids", "9"]).configured("[limits]\n\nmemory = '128MiB'\n");
    let file = show.home().join(".config/crucible/config.toml");
    let text = show.env("CRUCIBLE_LIMITS_DISK", "8MiB").output().expect_success();
    let line = |key: &str| {
        let line = text.lines().find(|line| line.split(' ').next() == Some(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("limits.pids"), "limits.pids = \"9\" # --pids");
    assert_eq!(line("limits.disk"), "limits.disk = \"8MiB\" # CRUCIBLE_LIMITS_DISK");
    assert_eq!(line("limits.memory"), format!("limits.memory = \"128MiB\" # {}:3", file.display()));
    assert!(line("limits.timeout").starts_with("limits.timeout = \"10s\" # default (default.toml:"));
    assert!(
        line("languages.python.endings").starts_with("languages.python.endings = [\"py\"] # default (languages.toml:")
    );
}

#[test]
fn the_configuration_is_shown_as_json() {
    let shown = crucible(&["config", "show", "--json"]).env("CRUCIBLE_LIMITS_PIDS", "7").output().json();
    let settings = shown["settings"].as_array().unwrap();
    let pids = settings.iter().find(|setting| setting["key"] == "limits.pids").unwrap();
    assert_eq!(
        *pids,
        serde_json::json!({
            "key": "limits.pids", "value": "7", "origin": "environment", "place": "CRUCIBLE_LIMITS_PIDS"
        })
    );
}

#[test]
fn a_mistake_in_the_file_is_named_with_file_line_and_the_nearest() {
    for (file, line, parts) in [
        (
            "[limits]\nmemroy = '1MiB'",
            2,
            &["unknown setting 'limits.memroy'", "hint: did you mean 'limits.memory'?"][..],
        ),
        ("\n[limts]\nmemory = '1MiB'", 2, &["hint: did you mean 'limits'?"]),
        ("[limits]\nmemory = 256", 2, &["is not a size with its unit"]),
        ("[limits]\ntimeout = '10'", 2, &["is not a time with its unit"]),
        ("[limits]\npids = -1", 2, &["is not a whole number"]),
        ("[limits]\npids = 0", 2, &["pids of 0 is outside 1 to 100000"]),
        ("[limits\npids = 1", 1, &[]),
        ("[limits]\npids = [1]", 2, &["must be one value"]),
        ("[languages.x]\nfile_name = 'x'", 2, &["`run` is missing"]),
        ("[presets.x.limits]\ncpus = 'all'", 2, &["is not a number of processors"]),
    ] {
        let run = crucible(&["run", "-c", "print('it ran')"]).configured(file);
        let place = format!("{}/.config/crucible/config.toml:{line}: ", run.home().display());
        let parts = [&[place.as_str()], parts].concat();
        run.output().expect_failure(78, &parts);
    }
}

#[test]
fn a_mistake_in_the_environment_is_named() {
    let run = |name: &str, value: &str| crucible(&["run", "-c", "print('it ran')"]).env(name, value).output();
    run("CRUCIBLE_LIMITS_MEMROY", "1MiB").expect_failure(78, &["hint: did you mean CRUCIBLE_LIMITS_MEMORY?"]);
    run("CRUCIBLE_LIMITS_MEMORY", "1").expect_failure(78, &["CRUCIBLE_LIMITS_MEMORY: \"1\" is not a size"]);
    run("CRUCIBLE_CONFIG", "/no/such").expect_failure(78, &["/no/such", "hint: CRUCIBLE_CONFIG names it"]);
}

#[test]
fn settings_hold_for_a_run() {
    for backend in backends() {
        let run = crucible(&["run", "-l", "bash", "-c", "sleep 60"])
            .backend(backend)
            .configured("[limits]\ntimeout = '200ms'\n");
        assert_eq!(run.output().code(), 124);
        let file = "[presets.mine]\nlanguage = 'bash'\n[presets.mine.env]\nGREETING = 'hello'\n";
        let run = crucible(&["run", "--preset", "mine", "-c", "echo $GREETING"]).backend(backend).configured(file);
        assert_eq!(run.output().expect_success(), "hello\n");
    }
}

#[test]
fn a_language_of_ones_own_runs() {
    let file = "[languages.tail]\nendings = ['tail']\ninterpreters = ['/bin/sh', '/usr/bin/sh']\nrun = ['{interpreter}', '{file}']\n\
                file_name = 'x.tail'\n";
    for backend in backends() {
        let run = crucible(&["run", "-l", "tail", "-c", "echo own"]).backend(backend).configured(file);
        assert_eq!(run.output().expect_success(), "own\n");
    }
}

#[test]
fn a_policy_from_a_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, "require = ['seccomp']\nunenforced_limits = 'record'\n").unwrap();
    let run =
        crucible(&["run", "-c", "1", "--policy", path.to_str().unwrap(), "-b", "subprocess", "--unsafe"]).output();
    assert_eq!(run.code(), 77);
    assert!(run.stderr().contains("policy 'mine' requires the layer seccomp"), "{}", run.stderr());
    std::fs::write(&path, "require = ['seccmop']\n").unwrap();
    let run = crucible(&["run", "-c", "1", "--policy", path.to_str().unwrap()]).output();
    run.expect_failure(78, &["mine.toml:1", "hint: did you mean 'seccomp'?"]);
}

#[test]
fn the_self_test_names_every_component_and_fails_with_a_broken_configuration() {
    let report = crucible(&["self-test", "--json"]).output();
    let json = report.json();
    let names: Vec<_> =
        json["components"].as_array().unwrap().iter().map(|c| c["component"].as_str().unwrap()).collect();
    for name in ["configuration", "engine", "jail", "subprocess", "scanner", "reviews", "evidence"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert_eq!(report.code(), i32::from(json["healthy"] == false));
    let broken = crucible(&["self-test"]).configured("[limits]\npids = 0\n").output();
    assert_eq!(broken.code(), 1);
    assert!(broken.stdout().contains("FAILED") && broken.stdout().contains("pids of 0"), "{}", broken.stdout());
}

#[test]
fn the_doctor_tells_layers_limits_and_interpreters() {
    let doctor = crucible(&["doctor", "--json"]).output();
    let json = doctor.json();
    assert_eq!(doctor.code(), i32::from(!json["default_backend_problem"].is_null()));
    let known = json["backends"].as_array().unwrap().len() + json["unavailable"].as_array().unwrap().len();
    assert_eq!(known, crucible::compose::BACKENDS.len());
    for backend in json["backends"].as_array().unwrap() {
        assert_eq!(backend["layers"].as_object().unwrap().len(), 24);
        assert_eq!(backend["limits"].as_object().unwrap().len(), 11);
    }
    assert!(["v1", "v2", "hybrid", "none"].contains(&json["control_groups"]["mode"].as_str().unwrap()));
    let languages = json["languages"].as_array().unwrap();
    let bash = languages.iter().find(|language| language["name"] == "bash").unwrap();
    assert!(bash["interpreter"].as_str().unwrap().ends_with("/bash"));
    let text = crucible(&["doctor"]).output();
    assert!(text.stdout().contains("languages") && !text.stdout().contains('\u{1b}'), "{}", text.stdout());
}
