//! The thread that asks etcd and keeps the leases, whatever those who wait for it do meanwhile.

use std::future::Future;
use std::io;
use std::sync::mpsc::channel;
use std::thread::ThreadId;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the thread lives on to finish what it was told, once nobody can tell it any more.
const LINGER: Duration = Duration::from_secs(2);

/// How long whoever gives a lease back waits until others see it; usually it is some milliseconds.
const PATIENCE: Duration = Duration::from_millis(100);

/// A thread with a runtime of its own: that of a caller may stand still, or end, while a lease has to be kept, and a
/// caller that gives up waiting must not leave half of something done. It ends with its last user.
#[derive(Debug)]
pub(super) struct Worker {
    runtime: Handle,
    thread: ThreadId,
    errands: TaskTracker,
    over: CancellationToken,
}

impl Worker {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (errands, over) = (TaskTracker::new(), CancellationToken::new());
        let (handle, until, left) = (runtime.handle().clone(), over.clone(), errands.clone());
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    until.cancelled().await;
                    left.close();
                    // A lease that was not given back runs out.
                    let _ = tokio::time::timeout(LINGER, left.wait()).await;
                });
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            thread: thread.thread().id(),
            errands,
            over,
        })
    }

    /// Does it to its end, also when nobody waits for it any more.
    pub(super) async fn does<T: Send + 'static>(
        &self,
        errand: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        let done = self.errands.spawn_on(errand, &self.runtime).await;
        done.map_err(|_| "the thread that asks etcd has ended unexpectedly".to_owned())
    }

    /// Begins it, and waits a moment for its end. For where nothing can be awaited.
    pub(super) fn begins(&self, errand: impl Future<Output = ()> + Send + 'static) {
        let (done, is_done) = channel();
        let errand = async move {
            errand.await;
            let _ = done.send(());
        };
        drop(self.errands.spawn_on(errand, &self.runtime));
        // The thread itself would wait for what it has to do.
        if std::thread::current().id() != self.thread {
            let _ = is_done.recv_timeout(PATIENCE);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.over.cancel();
    }
}
