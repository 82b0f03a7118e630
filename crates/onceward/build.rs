//! Chooses the storage: `cfg(plain)` where the plain one is asked for, or is all there is.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(plain)");
    println!("cargo::rerun-if-changed=build.rs");
    let set = |name: &str| std::env::var_os(name).is_some();
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux");
    // The models of loom run the parts, not the whole.
    if set("CARGO_FEATURE_PLAIN_STORAGE") || set("CARGO_CFG_LOOM") || !linux {
        println!("cargo::rustc-cfg=plain");
    }
}
