//! SIGINT, SIGTERM and SIGHUP: the first asks to cancel, the second leaves.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the loss of the terminal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// Nothing: a failover goes on when the administrator's connection breaks; its journal tells the rest.
    Ignored,
    /// The same as Ctrl-C: there is nobody left to look at it.
    Cancels,
}

/// The two stages of an interruption.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupts {
    /// Set by the first signal: what runs is asked to cancel, and may refuse.
    pub(crate) cancel: CancellationToken,
    /// Set by the second: the process goes, whatever runs.
    pub(crate) leave: CancellationToken,
}

impl Interrupts {
    /// Listens from now on, in place of the system's default of ending the process.
    pub(crate) fn listen(on_hangup: Hangup) -> std::io::Result<Self> {
        let interrupts = Self::default();
        let (cancel, leave) = (interrupts.cancel.clone(), interrupts.leave.clone());
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            for token in [cancel, leave] {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => break,
                        _ = terminate.recv() => break,
                        _ = hangup.recv() => {
                            if on_hangup == Hangup::Cancels {
                                break;
                            }
                        }
                    }
                }
                token.cancel();
            }
        });
        Ok(interrupts)
    }
}
