//! The list of the server's functions that the module checks at load is the list of those it calls.

use std::collections::BTreeSet;
use std::path::Path;

/// The names after each occurrence of `before` in the module's sources.
fn names_after(source: &str, before: &str) -> BTreeSet<String> {
    let name =
        |rest: &str| rest.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    source.split(before).skip(1).map(name).filter(|name: &String| name.starts_with("RedisModule_")).collect()
}

/// How they are called, by what they return: nothing that can fail, whether it was done, a pointer that may be null.
const MACROS: [&str; 3] = ["call", "status", "pointer"];

#[test]
fn every_function_that_is_called_was_looked_for_and_its_result_is_checked() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ffi");
    let api = std::fs::read_to_string(folder.join("api.rs")).expect("api.rs");
    let list = api.split("required! {").nth(1).expect("the list");
    let sources = std::fs::read_dir(&folder).expect("src/ffi is there").map(|entry| {
        let path = entry.expect("an entry").path();
        std::fs::read_to_string(&path).expect("a source")
    });
    let sources: Vec<String> = sources.collect();
    let mut found = 0;
    for kind in MACROS {
        let (word, wanted) = (format!(" {kind}!("), format!("    {kind}:"));
        let mut called = BTreeSet::new();
        for source in &sources {
            let unwrapped = source.replace(['\n', '(', '&', '='], " ").replace("! ", "!(");
            called.extend(names_after(&unwrapped, &word));
        }
        let group = list.split(&wanted).nth(1).and_then(|rest| rest.split(';').next()).expect("the group");
        let listed: BTreeSet<String> = group.split(',').map(|name| name.trim().to_owned()).collect();
        found += called.len();
        assert_eq!(called, listed, "{kind}!");
    }
    assert!(found > 60, "only {found} calls found");
}
