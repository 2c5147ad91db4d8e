//! Panics, including those of tasks that nobody awaits.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    /// The panics of this thread, while they are collected.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs this, and returns its result and the panics meanwhile.
pub fn collect<R>(run: impl FnOnce() -> R) -> (R, Vec<String>) {
    HOOK.call_once(install);
    PANICS.set(Some(Vec::new()));
    let result = run();
    (result, PANICS.take().unwrap_or_default())
}

fn install() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let collected = PANICS.with_borrow_mut(|panics| match panics {
            Some(panics) => {
                panics.push(panic.to_string().replace('\n', " "));
                true
            }
            None => false,
        });
        if !collected {
            usual(panic);
        }
    }));
}
