//! TLS through `rediss://` URLs, with the certificate checked.

use redis_lock_harness::{Server, free_port};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Makes a certificate for localhost and its key, and a server that uses them. None if the server is built
/// without TLS, which the harness says by a panic.
fn start(dir: &Path) -> Option<(Server, u16)> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    fs::write(&certificate, certified.cert.pem()).expect("a file");
    fs::write(&key, certified.signing_key.serialize_pem()).expect("a file");
    let text = |path: &Path| path.to_str().expect("paths of tests are UTF-8").to_owned();
    let port = free_port();
    let server = Server::builder()
        .config("tls-port", &port.to_string())
        .config("tls-cert-file", &text(&certificate))
        .config("tls-key-file", &text(&key))
        .config("tls-ca-cert-file", &text(&certificate))
        .config("tls-auth-clients", "no");
    match std::panic::catch_unwind(|| server.start()) {
        Ok(server) => Some((server, port)),
        Err(panic) if is_without_tls(panic.downcast_ref().map_or("", String::as_str)) => None,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// What servers say of the option: those that don't know it, and those that know it all the same.
fn is_without_tls(log: &str) -> bool {
    log.contains("Bad directive or wrong number of arguments") || log.contains("Failed finding TLS support")
}

fn run(url: &str, trusted: &Path) -> Output {
    let example = crate::examples::path("take_work_release");
    Command::new(example).arg(url).env("SSL_CERT_FILE", trusted).output().expect("the example runs")
}

#[test]
fn a_lock_over_tls() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some((_server, port)) = start(dir.path()) else {
        println!("not checked: this server is built without TLS");
        return;
    };
    let url = format!("rediss://localhost:{port}");
    let output = run(&url, &dir.path().join("cert.pem"));
    assert!(output.status.success(), "{output:?}");
    // Signed by someone else: not connected to, and said why.
    let other = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    let trusted = dir.path().join("other.pem");
    fs::write(&trusted, other.cert.pem()).expect("a file");
    let output = run(&url, &trusted);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("certificate"), "{error}");
}
