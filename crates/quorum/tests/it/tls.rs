//! TLS through `rediss://` URLs, with the certificate checked.

use redis_lock_harness::Server;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// Another process may take the port between its choice and the server's start.
const ATTEMPTS: usize = 20;

/// Makes a certificate for localhost and its key, and a server that uses them. A server that finds its
/// port taken ends, and the harness says so by a panic. None where the server is built without TLS.
fn start(dir: &Path) -> Option<(Server, u16)> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    fs::write(&certificate, certified.cert.pem()).expect("a file");
    fs::write(&key, certified.signing_key.serialize_pem()).expect("a file");
    let text = |path: &Path| path.to_str().expect("paths of tests are UTF-8").to_owned();
    for _ in 0..ATTEMPTS {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("a free port").port();
        let server = Server::builder()
            .config("tls-port", &port.to_string())
            .config("tls-cert-file", &text(&certificate))
            .config("tls-key-file", &text(&key))
            .config("tls-ca-cert-file", &text(&certificate))
            .config("tls-auth-clients", "no");
        match std::panic::catch_unwind(|| server.start()) {
            Ok(server) => return Some((server, port)),
            Err(panic) if is_without_tls(panic.downcast_ref().map_or("", String::as_str)) => return None,
            Err(_) => {}
        }
    }
    panic!("no port was free in {ATTEMPTS} attempts");
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
