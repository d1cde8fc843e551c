//! What the site file asks of `synchronous_standby_names`, and whether a running value keeps to it.

use super::{NodeName, SyncMethod, SyncMode, SyncNames, Synchronous};

impl Synchronous {
    /// Whether commits are to wait for standbys as the site file says.
    pub fn is_managed(&self) -> bool {
        !matches!(self.mode, SyncMode::Unmanaged | SyncMode::Off)
    }

    /// The value for these standbys, of which `ready` can acknowledge now: `None` when the setting is left alone,
    /// `Some(None)` for the empty value.
    pub fn wanted(&self, standbys: &[NodeName], ready: usize) -> Option<Option<SyncNames>> {
        let method = match self.mode {
            SyncMode::Unmanaged => return None,
            SyncMode::Off => return Some(None),
            SyncMode::First => SyncMethod::First,
            SyncMode::Quorum | SyncMode::All => SyncMethod::Any,
        };
        let asked = if self.mode == SyncMode::All {
            standbys.len()
        } else {
            (self.acks as usize).min(standbys.len())
        };
        let acks = u32::try_from(asked.min(ready)).unwrap_or(u32::MAX);
        let names = standbys.iter().map(ToString::to_string).collect();
        Some((acks > 0).then_some(SyncNames {
            method,
            acks,
            names,
        }))
    }

    /// How the running value deviates from what the site file wants on a primary with these other nodes, of which the
    /// `direct` ones stream from it; none when it does not. The order of names is the site's own business, and so is
    /// whether a standby below another one is named: it acknowledges nothing.
    pub fn deviation(
        &self,
        running: &str,
        others: &[NodeName],
        direct: &[NodeName],
    ) -> Option<String> {
        let wanted = self.wanted(others, others.len())?;
        let same = match (SyncNames::parse(running), &wanted) {
            (Ok(None), None) => true,
            (Ok(Some(running)), Some(wanted)) => {
                let known = |name: &String| {
                    others
                        .iter()
                        .any(|other| other.as_str().eq_ignore_ascii_case(name))
                };
                let all =
                    self.mode == SyncMode::All && running.acks as usize == running.names.len();
                running.method == wanted.method
                    && (running.acks == wanted.acks || all)
                    && running.names.iter().all(known)
                    && direct.iter().all(|node| running.matches(node.as_str()))
            }
            _ => false,
        };
        let shown = |text: &str| {
            if text.trim().is_empty() {
                "nobody".to_owned()
            } else {
                format!("`{}`", text.trim())
            }
        };
        let wanted = wanted.map(|w| w.to_string()).unwrap_or_default();
        (!same).then(|| {
            format!(
                "commits wait for {}, the site file wants them to wait for {}",
                shown(running),
                shown(&wanted)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<NodeName> {
        all.iter().map(|n| NodeName::parse(n).unwrap()).collect()
    }

    #[test]
    fn a_running_value_deviates_when_it_promises_less_or_leaves_somebody_out() {
        let others = names(&["n2", "n3", "n4"]);
        let direct = names(&["n2", "n3"]);
        for (mode, acks, running, deviates) in [
            (SyncMode::Quorum, 1, "ANY 1 (n2, n3, n4)", false),
            (SyncMode::Quorum, 1, "any 1 (n3, N2)", false),
            (SyncMode::Quorum, 1, "ANY 1 (n2)", true),
            (SyncMode::Quorum, 1, "", true),
            (SyncMode::Quorum, 2, "ANY 1 (n2, n3, n4)", true),
            (SyncMode::Quorum, 1, "FIRST 1 (n2, n3, n4)", true),
            (SyncMode::Quorum, 1, "ANY 1 (n2, n3, stranger)", true),
            (SyncMode::Quorum, 9, "ANY 3 (n2, n3, n4)", false),
            (SyncMode::All, 1, "ANY 2 (n2, n3)", false),
            (SyncMode::All, 1, "ANY 1 (n2, n3)", true),
            (SyncMode::Off, 1, "", false),
            (SyncMode::Off, 1, "ANY 1 (n2)", true),
            (SyncMode::Unmanaged, 1, "*", false),
        ] {
            let policy = Synchronous { mode, acks };
            let found = policy.deviation(running, &others, &direct);
            assert_eq!(
                found.is_some(),
                deviates,
                "{mode:?} {acks} {running}: {found:?}"
            );
        }
    }

    #[test]
    fn no_more_acknowledgements_are_asked_for_than_there_are_standbys() {
        let policy = Synchronous {
            mode: SyncMode::Quorum,
            acks: 2,
        };
        let standbys = names(&["n2", "n3"]);
        let acks = |ready| policy.wanted(&standbys, ready).unwrap().map(|w| w.acks);
        assert_eq!((acks(2), acks(1), acks(0)), (Some(2), Some(1), None));
    }
}
