//! For build scripts: builds a program or library of their own package, to be embedded in what they are the script of.
//!
//! Invariant: it is built with the profile `launcher` and by its own flags alone, so that it is the same whatever embeds it, and
//! once for all profiles of what does.

use sha2::{Digest, Sha256};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How it is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// With everything in it: it runs where there is no library at all, and nothing of there becomes part of it.
    Static,
    /// As part of a program that is linked dynamically.
    Dynamic,
}

/// Whether this script is that of a package which is built to be embedded. It has nothing to do then.
#[must_use]
pub fn is_embedded() -> bool {
    env::var_os("CARGO_FEATURE_HOST").is_none()
}

/// Builds a part of the script's own package, and gives the file that it becomes: `what` are cargo's words for it, `feature` is the
/// only one it has, and `file` is what it is called.
///
/// # Errors
/// Where cargo's variables aren't there, or it doesn't build.
pub fn build(what: &[&str], feature: &str, linkage: Linkage, file: &str) -> Result<PathBuf, Box<dyn Error>> {
    let (target, package) = (env::var("TARGET")?, env::var("CARGO_PKG_NAME")?);
    let (folder, flags) = match linkage {
        Linkage::Static => ("embedded", "-C target-feature=+crt-static -C relocation-model=static"),
        Linkage::Dynamic => ("embedded-library", ""),
    };
    // Of cargo's own target folder, so that a debug and a release build share it: PROFILE/build/PACKAGE/out is below that.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let folder = out.ancestors().nth(4).unwrap_or(&out).join(folder);
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .args(what)
        .args(["--profile", "launcher", "--package", &package, "--no-default-features", "--features", feature])
        .args(["--target", &target, "--manifest-path"])
        .arg(PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder);
    // Coverage, lints and the caller's flags are for what embeds it.
    for name in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "LLVM_PROFILE_FILE",
    ] {
        cargo.env_remove(name);
    }
    // Cargo doesn't clear these for the build script that it starts in turn, which would then take itself for this one.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_FEATURE_")) {
        cargo.env_remove(name);
    }
    cargo.env("RUSTFLAGS", flags);
    if !cargo.status()?.success() {
        return Err(format!("building the {feature} of {package} failed; see the messages above").into());
    }
    // The script's own copy, so that its digest stays that of what is embedded, whoever builds it anew.
    let copy = out.join(file);
    std::fs::copy(folder.join(target).join("launcher").join(file), &copy)?;
    Ok(copy)
}

/// The SHA-256 of files, one after the other, in hexadecimal.
///
/// # Errors
/// Where one can't be read.
pub fn digest(files: &[&Path]) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(file)?);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_all_files_in_their_order_and_one_that_is_not_there_is_an_error() {
        let (manifest, script) = (Path::new("Cargo.toml"), Path::new("src/lib.rs"));
        let both = digest(&[manifest, script]).unwrap_or_default();
        assert_eq!(both.len(), 64);
        assert_ne!(both, digest(&[script, manifest]).unwrap_or_default());
        assert!(digest(&[manifest, Path::new("nothing")]).is_err());
        // Of nothing, as everybody knows it.
        assert!(digest(&[]).is_ok_and(|empty| empty.starts_with("e3b0c44298fc1c149afbf4c8996fb924")));
    }
}
