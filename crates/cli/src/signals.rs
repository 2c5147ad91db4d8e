//! Signals that arrive, and who sent them.

use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2,
};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use std::io;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Those that say something to a program. SIGCHLD and SIGCONT are for this one.
const SIGNALS: [i32; 9] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGCHLD];

/// A signal.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    pub number: i32,
    /// It was typed: the terminal sent it to all processes in the foreground. What else the kernel sends, as
    /// when a terminal goes away or an alarm clock is due, is for this process alone.
    pub typed: bool,
}

impl Signal {
    /// Whether it asks a program to end.
    pub fn ends(self) -> bool {
        ![SIGCHLD, SIGCONT, SIGTSTP].contains(&self.number)
    }
}

/// What arrives from now on, in order.
pub struct Signals(UnboundedReceiver<Signal>);

impl Signals {
    /// # Errors
    /// Where the system does not allow it.
    pub fn new() -> io::Result<Signals> {
        Signals::with(&[])
    }

    /// Those and these.
    ///
    /// # Errors
    /// As [`Signals::new`].
    pub fn with(more: &[i32]) -> io::Result<Signals> {
        unblock();
        // What was ignored from the start is to stay so, for the command too: so nohup(1) works. But that a
        // child has ended is to be heard, whatever this program was started by.
        let all = SIGNALS.into_iter().chain(more.iter().copied());
        let heard = all.filter(|signal| *signal == SIGCHLD || !is_ignored(*signal));
        let mut signals = SignalsInfo::<WithOrigin>::new(heard)?;
        let (sender, receiver) = unbounded_channel();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for origin in &mut signals {
                let number = origin.signal;
                let typed = origin.cause == Cause::Kernel && [SIGINT, SIGQUIT].contains(&number);
                if sender.send(Signal { number, typed }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Signals(receiver))
    }

    pub async fn next(&mut self) -> Signal {
        match self.0.recv().await {
            Some(signal) => signal,
            // Its thread has gone: there won't be any.
            None => std::future::pending().await,
        }
    }

    /// One that has asked this program to end, of those that are here already; they are all taken.
    pub fn has_ended(&mut self) -> Option<Signal> {
        let here = std::iter::from_fn(|| self.0.try_recv().ok());
        here.filter(|signal| signal.ends()).last()
    }

    /// The next one that asks this program to end.
    pub async fn end(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if signal.ends() {
                return signal;
            }
        }
    }
}

/// A program may have been started with signals blocked: it would never hear them.
fn unblock() {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set is emptied before it is used, and no old set is asked for.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in SIGNALS {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed, and the old action is written to where there is room for it.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zero is a valid action too.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}
