//! A nested playbook: a scope of the same run, with parameters and names of its own.

use super::attempts::Tried;
use super::control::Control;
use super::names::{ScopeNames, error_names};
use super::prepare::{by_name, lenient_outputs};
use super::scope::{DEFAULT_BUDGET, Fault, Run, Scope, ScopeEnd, run_block};
use super::step::absorbs;
use super::{ScopeKind, StepPath};
use crate::playbook::{Map, Playbook, Step};
use std::sync::Arc;
use std::time::Duration;

/// A playbook with its parameters bound.
pub(super) struct PlaybookWork<'s> {
    pub(super) playbook: &'s Playbook,
    pub(super) params: Arc<Map>,
    /// The step's `timeout`.
    pub(super) limit: Option<Duration>,
}

impl PlaybookWork<'_> {
    /// The budget of its steps: the step's `timeout` or the playbook's own, whichever is less.
    pub(super) fn limit(&self) -> Option<Duration> {
        let own = self.playbook.timeout.as_ref().map(|timeout| timeout.value);
        [self.limit, own].into_iter().flatten().min()
    }

    /// Runs it once. Its failure is the attempt's, even when its own rescue made up for it, as at the top level.
    pub(super) async fn attempt(
        &self,
        run: &Run<'_>,
        scope: &Scope<'_>,
        step: &Step,
        path: &StepPath,
        limit: Option<Duration>,
    ) -> Tried {
        let kind = if path.is_item() {
            ScopeKind::Item
        } else {
            ScopeKind::Playbook
        };
        let slots = self.playbook.defaults.max_parallel;
        let child = Scope::of_playbook(
            path.clone(),
            kind,
            self.playbook,
            Arc::clone(&self.params),
            scope.control.within(absorbs(step), slots),
            scope.depth + 1,
        );
        let mut end = run_block(run, &child, limit).await;
        if let Some(fault) = &end.fault
            && let Some(rescue) = &self.playbook.rescue
            && !scope.control.token.is_cancelled()
        {
            let second = run_beside(
                run,
                &child,
                rescue,
                path.playbook_rescue(),
                ScopeKind::Rescue,
                Some(fault),
                scope.control.within(true, slots),
            )
            .await;
            end = both(end, second, "its rescue");
        }
        if let Some(finally) = &self.playbook.finally {
            // Always, also when everything around it was cancelled.
            let control = Control::top(true, slots);
            let last = run_beside(
                run,
                &child,
                finally,
                path.playbook_finally(),
                ScopeKind::Finally,
                None,
                control,
            )
            .await;
            end = both(end, last, "its finally");
        }
        match end.fault {
            _ if scope.control.token.is_cancelled() => Tried::Stopped,
            Some(fault) => Tried::Failed(fault),
            None => Tried::Done {
                outputs: lenient_outputs(
                    by_name!(self.playbook.outputs),
                    &ScopeNames::of(run, &child),
                ),
                unchanged: false,
            },
        }
    }
}

/// Runs a playbook's rescue or finally.
pub(super) async fn run_beside(
    run: &Run<'_>,
    steps: &Scope<'_>,
    block: &crate::playbook::Block,
    path: StepPath,
    kind: ScopeKind,
    fault: Option<&Fault>,
    control: Arc<Control>,
) -> ScopeEnd {
    let error = fault.map(|fault| error_names(&fault.path.0, &fault.failure));
    let scope = steps.beside(path, kind, block, error, control);
    run_block(run, &scope, Some(block.timeout.unwrap_or(DEFAULT_BUDGET))).await
}

/// The failure of the steps decides; that of what came after is told with it.
pub(super) fn both(first: ScopeEnd, second: ScopeEnd, what: &str) -> ScopeEnd {
    let fault = match (first.fault, second.fault) {
        (Some(mut fault), Some(second)) => {
            fault.failure.message = format!(
                "{}; {what} failed too: `{}`: {}",
                fault.failure.message, second.path, second.failure.message
            );
            Some(fault)
        }
        (first, second) => first.or(second),
    };
    ScopeEnd {
        fault,
        cancelled: first.cancelled,
    }
}
