//! Scenario files that are sound, and any bytes in place of one.

use super::*;
use proptest::prelude::*;

const SOUND: &str = r#"[[scenario]]
id = "own.file"
statement = "A file can't be read"
expected = "hidden"
probe = { python = "probe.py" }
canary = { kind = "secret_file" }
control = ["mount_namespace"]
limits = { memory = "64MiB", pids = 9 }
"#;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

#[test]
fn the_default_scenarios_are_sound() {
    assert!(built_in().unwrap().len() > 90);
}

#[test]
fn a_scenario_of_a_folder_has_its_probe_with_it() {
    let folder = folder(&[("one.toml", SOUND.as_bytes()), ("probe.py", b"print(1)"), ("other.txt", b"\xff")]);
    let all = from_folder(folder.path()).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].source.as_deref(), Some("print(1)"));
    assert_eq!(all[0].limits(Arm::Protected).unwrap().pids, 9);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_in_a_scenario_file_make_it_panic(bytes: Vec<u8>) {
        let folder = folder(&[("one.toml", &bytes)]);
        prop_assert!(from_folder(folder.path()).is_err());
    }

    #[test]
    fn no_damage_to_a_scenario_file_makes_it_panic(
        at in 0..SOUND.len(), removed in 0_usize..40, put: Vec<u8>, text in "[\\PC\n]{0,12}",
    ) {
        for put in [put.as_slice(), text.as_bytes()] {
            let mut bytes = SOUND.as_bytes().to_vec();
            bytes.splice(at..SOUND.len().min(at + removed), put.iter().copied());
            let folder = folder(&[("one.toml", &bytes), ("probe.py", b"")]);
            match from_folder(folder.path()) {
                // What is still sound after all has kept what makes a verdict mean something.
                Ok(all) => prop_assert!(all.iter().all(|one| one.check().is_ok() && one.source.is_some())),
                Err(error) => prop_assert!(matches!(error.kind(), ErrorKind::Configuration | ErrorKind::NotFound)),
            }
        }
    }
}
