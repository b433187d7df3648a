//! The fingerprint of what was run, for the record.
//!
//! Every part is preceded by its length, so that no two different evaluations give the same bytes to hash.

use crucible_core::{EvaluationSpec, Program};

/// BLAKE3 of the program with its arguments and the input files, in hexadecimal. The order of the files doesn't count.
pub(crate) fn of_code(spec: &EvaluationSpec) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(bytes);
    };
    part(b"crucible code 1");
    let arguments = match &spec.program {
        Program::Source { language, code, args } => {
            part(b"source");
            part(language.as_bytes());
            part(code);
            args
        }
        Program::Command { argv } => {
            part(b"command");
            argv
        }
    };
    part(&count(arguments.len()));
    for argument in arguments {
        part(argument.as_bytes());
    }
    let mut files: Vec<_> = spec.files.iter().collect();
    files.sort_by_key(|file| &file.path);
    part(&count(files.len()));
    for file in files {
        part(file.path.as_str().as_bytes());
        part(if file.executable { b"x" } else { b"-" });
        part(&file.content);
    }
    hasher.finalize().to_hex().to_string()
}

/// BLAKE3 of everything that a program's result can depend on, as far as Crucible knows it, in hexadecimal: the code, its input and
/// surroundings, limits and policy, and what runs it. `by` is the backend with its version, and the machine.
pub(crate) fn of_everything(spec: &EvaluationSpec, policy: &str, by: &[&str]) -> String {
    let EvaluationSpec { stdin, collect, tripwires, env, limits, .. } = spec;
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&count(bytes.len()));
        hasher.update(bytes);
    };
    part(b"crucible run 1");
    part(env!("CARGO_PKG_VERSION").as_bytes());
    part(of_code(spec).as_bytes());
    part(stdin);
    // Their form for people tells every value.
    part(format!("{collect:?} {tripwires:?} {env:?} {limits:?}").as_bytes());
    part(policy.as_bytes());
    for fact in by {
        part(fact.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn count(number: usize) -> [u8; 8] {
    u64::try_from(number).unwrap_or(u64::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::tests::spec;
    use crucible_core::{GuestPath, InputFile};

    fn file(path: &str, content: &[u8]) -> InputFile {
        InputFile { path: GuestPath::parse(path).unwrap(), content: content.to_vec(), executable: false }
    }

    #[test]
    fn moving_bytes_between_parts_changes_the_fingerprint() {
        let hash = |argv: &[&str], files: Vec<InputFile>| {
            let argv = argv.iter().map(|&text| text.to_owned()).collect();
            of_code(&EvaluationSpec { program: Program::Command { argv }, files, ..spec() })
        };
        let all = [
            hash(&["a", "b"], vec![]),
            hash(&["ab"], vec![]),
            hash(&["a", "b", ""], vec![]),
            hash(&["a"], vec![file("b", b"")]),
            hash(&["a"], vec![file("b", b"c")]),
            hash(&["a"], vec![file("bc", b"")]),
            hash(&["a"], vec![InputFile { executable: true, ..file("bc", b"") }]),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn the_order_of_the_files_does_not_count() {
        let hash = |files| of_code(&EvaluationSpec { files, ..spec() });
        assert_eq!(hash(vec![file("a", b"1"), file("b", b"2")]), hash(vec![file("b", b"2"), file("a", b"1")]));
    }
}
