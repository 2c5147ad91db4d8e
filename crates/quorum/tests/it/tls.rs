//! TLS through `rediss://` URLs, with the certificate checked.

use redis_lock_harness::{Reply, Server};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// Another process may take the port between its choice and the server's start.
const ATTEMPTS: usize = 20;

fn has_tls() -> bool {
    let answer = Server::start().connect().run(["CONFIG", "GET", "tls-port"]);
    matches!(answer, Reply::Array(fields) if !fields.is_empty())
}

/// Makes a certificate for localhost and its key, and a server that uses them. A server that finds its
/// port taken ends, and the harness says so by a panic.
fn start(dir: &Path) -> (Server, u16) {
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
        if let Ok(server) = std::panic::catch_unwind(|| server.start()) {
            return (server, port);
        }
    }
    panic!("no port was free in {ATTEMPTS} attempts");
}

fn run(url: &str, trusted: &Path) -> Output {
    let example = crate::examples::path("take_work_release");
    Command::new(example).arg(url).env("SSL_CERT_FILE", trusted).output().expect("the example runs")
}

#[test]
fn a_lock_over_tls() {
    if !has_tls() {
        println!("not checked: this server is built without TLS");
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (_server, port) = start(dir.path());
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
