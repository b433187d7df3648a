//! Builds the launcher as a static binary, and the library that makes an interpreter one, in target folders of their own, for
//! `host/image.rs` to embed, and tells the digest of both.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for input in ["src", "Cargo.toml", "build.rs", "../crucible-inside/src"] {
        println!("cargo::rerun-if-changed={input}");
    }
    // Building the launcher itself comes through here, too.
    if env::var_os("CARGO_FEATURE_HOST").is_none() {
        return Ok(());
    }
    let target = env::var("TARGET")?;
    // Linked statically, so that nothing of a sandbox's file system can become part of it.
    let launcher = ["build", "--bin", "crucible-launcher", "--features", "launcher"];
    let launcher = build(&target, "launcher", &launcher, "-C target-feature=+crt-static -C relocation-model=static")?;
    // Part of a program that is linked dynamically.
    let zygote = ["rustc", "--lib", "--crate-type", "cdylib", "--features", "zygote"];
    let zygote = build(&target, "zygote", &zygote, "")?;
    let (launcher, zygote) = (launcher.join("crucible-launcher"), zygote.join("libcrucible_jail.so"));
    println!("cargo::rustc-env=CRUCIBLE_LAUNCHER={}", launcher.display());
    println!("cargo::rustc-env=CRUCIBLE_ZYGOTE={}", zygote.display());
    tell_digest(&[&launcher, &zygote])
}

/// Builds a part of this package and gives the folder in which it is.
fn build(target: &str, name: &str, what: &[&str], flags: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let target_folder = PathBuf::from(env::var("OUT_DIR")?).join(name);
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .args(what)
        .args(["--profile", "launcher", "--package", "crucible-jail", "--no-default-features", "--target", target])
        .arg("--manifest-path")
        .arg(PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_folder);
    // Coverage, lints and the caller's flags are for the supervisor.
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
        return Err(format!("building the {name} failed; see the messages above").into());
    }
    Ok(target_folder.join(target).join("launcher"))
}

#[cfg(feature = "host")]
fn tell_digest(binaries: &[&Path]) -> Result<(), Box<dyn std::error::Error>> {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for binary in binaries {
        hash.update(std::fs::read(binary)?);
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=CRUCIBLE_LAUNCHER_SHA256={digest}");
    Ok(())
}

#[cfg(not(feature = "host"))]
fn tell_digest(_binaries: &[&Path]) -> Result<(), Box<dyn std::error::Error>> {
    Ok(())
}
