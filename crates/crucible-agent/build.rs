//! Builds the agent as a static binary in a target folder of its own, for `host/image.rs` to embed, and tells its digest.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for input in ["src", "Cargo.toml", "build.rs", "../crucible-inside/src"] {
        println!("cargo::rerun-if-changed={input}");
    }
    // Building the agent itself comes through here, too.
    if env::var_os("CARGO_FEATURE_HOST").is_none() {
        return Ok(());
    }
    let target_folder = PathBuf::from(env::var("OUT_DIR")?).join("agent");
    let target = env::var("TARGET")?;
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .args(["build", "--profile", "launcher", "--package", "crucible-agent", "--bin", "crucible-agent"])
        .args(["--no-default-features", "--features", "guest", "--target", &target])
        .arg("--manifest-path")
        .arg(PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_folder);
    // Coverage, lints and the caller's flags are for the supervisor. The agent is linked statically, so that it runs in an
    // image that has no library at all.
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
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static");
    if !cargo.status()?.success() {
        return Err("building the agent failed; see the messages above".into());
    }
    let binary = target_folder.join(&target).join("launcher").join("crucible-agent");
    println!("cargo::rustc-env=CRUCIBLE_AGENT={}", binary.display());
    tell_digest(&binary)
}

#[cfg(feature = "host")]
fn tell_digest(binary: &Path) -> Result<(), Box<dyn std::error::Error>> {
    use sha2::{Digest, Sha256};
    let digest: String = Sha256::digest(std::fs::read(binary)?).iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=CRUCIBLE_AGENT_SHA256={digest}");
    Ok(())
}

#[cfg(not(feature = "host"))]
fn tell_digest(_binary: &Path) -> Result<(), Box<dyn std::error::Error>> {
    Ok(())
}
