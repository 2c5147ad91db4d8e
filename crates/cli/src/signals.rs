//! Signals that arrive, and their senders.

use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2,
};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use std::io;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The signals that programs react to. SIGCHLD and SIGCONT are for this program.
const SIGNALS: [i32; 9] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGCHLD];

/// A signal.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    pub number: i32,
    /// Whether it was typed: the terminal sent it to all processes in the foreground. Other signals of the
    /// kernel (a terminal goes away, an alarm clock expires) are for this process alone.
    pub typed: bool,
}

impl Signal {
    /// Returns whether the signal asks a program to end.
    pub fn ends(self) -> bool {
        ![SIGCHLD, SIGCONT, SIGTSTP].contains(&self.number)
    }
}

/// The signals that arrive from now on, in order.
pub struct Signals(UnboundedReceiver<Signal>);

impl Signals {
    /// # Errors
    /// Returns an error if the system does not allow it.
    pub fn new() -> io::Result<Signals> {
        Signals::with(&[])
    }

    /// Receives these signals in addition.
    ///
    /// # Errors
    /// Returns the errors of [`Signals::new`].
    pub fn with(more: &[i32]) -> io::Result<Signals> {
        unblock();
        // An ignored signal must stay ignored, also for the command, as nohup(1) relies on that. But the end
        // of a child must be noticed, whatever started this program.
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
            // The thread has ended: no signal will come.
            None => std::future::pending().await,
        }
    }

    /// Takes all signals that have arrived, and returns the last one that asked this program to end.
    pub fn has_ended(&mut self) -> Option<Signal> {
        let here = std::iter::from_fn(|| self.0.try_recv().ok());
        here.filter(|signal| signal.ends()).last()
    }

    /// Returns the next signal that asks this program to end.
    pub async fn end(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if signal.ends() {
                return signal;
            }
        }
    }
}

/// This program may have been started with signals blocked, and would never receive them.
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
    // SAFETY: nothing is changed, and the old action is written to memory that has room for it.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zero is a valid action too.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}
