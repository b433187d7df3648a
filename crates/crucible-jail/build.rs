//! Builds the launcher as a static binary, and the library that makes an interpreter one, for `host/image.rs` to embed, and
//! tells the digest of both.

use crucible_embed::{Linkage, build, digest, is_embedded};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for input in ["src", "Cargo.toml", "build.rs", "../crucible-inside/src"] {
        println!("cargo::rerun-if-changed={input}");
    }
    if is_embedded() {
        return Ok(());
    }
    let launcher = build(&["build", "--bin", "crucible-launcher"], "launcher", Linkage::Static, "crucible-launcher")?;
    let library = ["rustc", "--lib", "--crate-type", "cdylib"];
    let zygote = build(&library, "zygote", Linkage::Dynamic, "libcrucible_jail.so")?;
    println!("cargo::rustc-env=CRUCIBLE_LAUNCHER={}", launcher.display());
    println!("cargo::rustc-env=CRUCIBLE_ZYGOTE={}", zygote.display());
    println!("cargo::rustc-env=CRUCIBLE_LAUNCHER_SHA256={}", digest(&[&launcher, &zygote])?);
    Ok(())
}
