//! SIGINT and SIGTERM: the first asks to cancel, the second leaves.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
    pub(crate) fn listen() -> std::io::Result<Self> {
        let interrupts = Self::default();
        let (cancel, leave) = (interrupts.cancel.clone(), interrupts.leave.clone());
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::spawn(async move {
            for token in [cancel, leave] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(interrupts)
    }
}
