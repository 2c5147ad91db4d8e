//! Every link of the pages leads somewhere: to a file of the repository, and to a heading of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.to_owned(), root.join("docs")];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The lines outside of blocks of code.
fn prose(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).expect("a page");
    let mut in_code = false;
    let mut outside = |line: &&str| {
        let fence = line.starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    };
    text.lines().filter(|line| outside(line)).map(str::to_owned).collect()
}

/// The anchors of a page's headings, made as GitHub makes them.
fn anchors(page: &Path) -> BTreeSet<String> {
    let headings = prose(page).into_iter().filter(|line| line.starts_with('#'));
    let anchor = |line: String| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |letter: &char| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter);
        title.chars().filter(kept).map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    };
    headings.map(anchor).collect()
}

/// What stands in brackets after a text in brackets.
fn links(line: &str) -> Vec<&str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for page in pages() {
        for line in prose(&page) {
            for link in
                links(&line).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
            {
                let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
                let from = page.display();
                assert!(target.exists(), "{from}: {link}: there is no {}", target.display());
                assert!(
                    anchor.is_empty() || anchors(&target).contains(anchor),
                    "{from}: {link}: no such heading"
                );
                count += 1;
            }
        }
    }
    assert!(count >= 40, "only {count} links found");
}

#[test]
fn the_readme_is_read_in_five_minutes() {
    let lines = include_str!("../../README.md").lines().count();
    assert!(lines <= 300, "{lines} lines");
}
