//! Languages for tests: Python and a shell, wherever this machine has them.
//!
//! The ones that Crucible comes with are elsewhere; these only spare a test from reading a configuration.

use crucible_core::Language;
use std::collections::BTreeMap;

const HOST_FILES: [&str; 7] = ["/bin", "/lib", "/lib64", "/usr/bin", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"];

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// Python 3.
#[must_use]
pub fn python() -> Language {
    let probe = "import sys, os; print(os.path.realpath(sys.executable)); \
        [print(path) for path in sys.path + [sys.base_prefix + '/lib'] if os.path.isabs(path) and os.path.exists(path)]";
    Language {
        title: "Python".to_owned(),
        endings: owned(&["py"]),
        aliases: vec![],
        interpreters: owned(&["python3"]),
        run: owned(&["{interpreter}", "{file}"]),
        file_name: "main.py".to_owned(),
        probe: owned(&["-I", "-S", "-c", probe]),
        files: owned(&HOST_FILES),
        env: BTreeMap::new(),
        image: String::new(),
        install_hint: "apt install python3".to_owned(),
        wasm: String::new(),
        ready: String::new(),
        preload: Vec::new(),
    }
}

/// The system's own shell.
#[must_use]
pub fn shell() -> Language {
    Language {
        title: "sh".to_owned(),
        endings: owned(&["sh"]),
        aliases: vec![],
        interpreters: owned(&["/bin/sh"]),
        run: owned(&["{interpreter}", "{file}"]),
        file_name: "main.sh".to_owned(),
        probe: vec![],
        files: owned(&HOST_FILES),
        env: BTreeMap::new(),
        image: String::new(),
        install_hint: String::new(),
        wasm: String::new(),
        ready: String::new(),
        preload: Vec::new(),
    }
}
