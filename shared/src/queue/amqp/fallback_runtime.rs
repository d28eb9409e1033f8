//! A runtime for what lapin drops outside of tokio.

use std::sync::Once;

use async_compat::Compat;

static MADE: Once = Once::new();

/// Makes it, if it is not there. A connection's socket is dropped on a thread of lapin's own, where
/// async-compat then makes a runtime, once for the process. Left to the moment when the first
/// connection is lost, that panics while descriptors are used up, and at every later loss too.
pub(super) fn ensure() {
    MADE.call_once(|| {
        // Dropped where there is no runtime, as lapin does.
        let made = std::thread::spawn(|| drop(Compat::new(()))).join();
        if made.is_err() {
            tracing::warn!("lapin's runtime of its own cannot be made");
        }
    });
}
