//! The list of the server's functions that the module checks at load is the list of those it calls.

use std::collections::BTreeSet;
use std::path::Path;

/// The names after each occurrence of `before` in the module's sources.
fn names_after(source: &str, before: &str) -> BTreeSet<String> {
    let name =
        |rest: &str| rest.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    source.split(before).skip(1).map(name).filter(|name: &String| name.starts_with("RedisModule_")).collect()
}

#[test]
fn every_function_that_is_called_was_looked_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ffi");
    let mut called = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).expect("src/ffi is there") {
        let source = std::fs::read_to_string(entry.expect("an entry").path()).expect("a source");
        called.extend(names_after(&source, "call!("));
    }
    let api = std::fs::read_to_string(folder.join("api.rs")).expect("api.rs");
    let list = api.split("required! {").nth(1).expect("the list");
    let listed: BTreeSet<String> =
        list.split([',', '}']).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    assert!(called.len() > 50, "only {} calls found", called.len());
    assert_eq!(called, listed);
}
