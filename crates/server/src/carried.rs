//! Work that is carried to its end.

use crate::problem::{Problem, TRACE, trace_id};

/// Runs `work` to its end also when its client hangs up or its time is over: for steps of which none may be done without the next.
pub(crate) async fn carried<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let running = tokio::spawn(TRACE.scope(trace_id(), work));
    running.await.unwrap_or_else(|error| Err(Problem::fault(&error)))
}
