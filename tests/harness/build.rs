//! Compiles the clock library that a test preloads into a server to move its clocks.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=clock/clock.c");
    // Preloading by LD_PRELOAD and the raw system calls are specific to Linux.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let library =
        PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("libmovable_clock.so");
    let status = cc::Build::new()
        .get_compiler()
        .to_command()
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o"])
        .arg(&library)
        .arg("clock/clock.c")
        .status()
        .expect("the C compiler starts");
    assert!(status.success(), "the C compiler failed on clock/clock.c");
}
