//! Settings that a standby must have as high as its primary.

use super::super::scene::Scene;
use super::super::verify_attach::primary_above;
use crate::cluster::{Footing, NodeName, STANDBY_LIMITS, Setting};
use std::collections::BTreeMap;

/// The settings of whoever is to feed it, directly or through others.
pub(super) async fn asked_for(
    scene: &Scene<'_>,
    upstream: Option<&NodeName>,
) -> Option<(NodeName, BTreeMap<String, Setting>)> {
    let upstream = upstream?;
    let primary = match scene.node_input("primary").ok().flatten() {
        Some(primary) => primary,
        None => primary_above(scene, upstream.clone())
            .await
            .unwrap_or_else(|_| upstream.clone()),
    };
    let settings = scene
        .cluster
        .settings(&primary, &STANDBY_LIMITS)
        .await
        .ok()?;
    Some((primary, settings))
}

/// Settings that a standby must have as high as its primary.
#[derive(Debug, Default)]
pub(in crate::actions) struct TooLow {
    /// It does not go on with them, or does not start.
    pub(in crate::actions) now: Option<String>,
    /// It runs, and would not start again.
    pub(in crate::actions) later: Option<String>,
}

/// With a lower one a standby stops replaying (14 and later) or stops altogether when its primary's is told, and does not start.
/// Of one that will be restarted its files count.
pub(in crate::actions) fn too_low(
    footing: Option<&Footing>,
    own: Option<&BTreeMap<String, Setting>>,
    asked: Option<&(NodeName, BTreeMap<String, Setting>)>,
    restarts: bool,
) -> TooLow {
    let start = footing.and_then(|footing| footing.start.as_ref());
    let (mut now, mut later) = (Vec::new(), Vec::new());
    for name in STANDBY_LIMITS {
        let value =
            |settings: &BTreeMap<String, Setting>| settings.get(name)?.value.parse::<i64>().ok();
        let theirs =
            asked.and_then(|(primary, settings)| Some((value(settings)?, format!("on {primary}"))));
        let data = start.and_then(|start| {
            let by = "asked for by its data, as its primary had it".to_owned();
            Some((*start.least.get(name)?, by))
        });
        let Some((needed, whence)) = theirs
            .into_iter()
            .chain(data)
            .max_by_key(|(value, _)| *value)
        else {
            continue;
        };
        let has = own.and_then(value);
        // A value of the command line does not stand in the files.
        let by_line = own
            .and_then(|own| own.get(name))
            .is_some_and(|s| s.source == "command line");
        let files = start
            .and_then(|start| start.files.get(name).copied())
            .filter(|_| !by_line);
        match (has.filter(|_| !restarts || files.is_none()), files) {
            (Some(has), _) if has < needed => {
                now.push(format!("{name} is {has}, {needed} {whence}"));
            }
            (Some(_), Some(files)) if files < needed => {
                later.push(format!("{name} is {files} in its files, {needed} {whence}"));
            }
            (None, Some(files)) if files < needed => {
                now.push(format!("{name} is {files} in its files, {needed} {whence}"));
            }
            _ => {}
        }
    }
    let said = |found: Vec<String>, what: &str| {
        (!found.is_empty()).then(|| format!("{} ({what}): raise it", found.join(", ")))
    };
    TooLow {
        now: said(
            now,
            "a standby with less stops, or stops replaying, and does not start; it takes it when it is restarted",
        ),
        later: said(later, "with that it would not start again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::StartLimits;

    fn settings(max_connections: i64, source: &str) -> BTreeMap<String, Setting> {
        let setting = Setting {
            value: max_connections.to_string(),
            context: "postmaster".to_owned(),
            source: source.to_owned(),
            by_alter_system: false,
            pending_restart: false,
            secret: false,
            set: true,
        };
        BTreeMap::from([("max_connections".to_owned(), setting)])
    }

    fn footing(least: i64, files: i64) -> Footing {
        let limit = |value| BTreeMap::from([("max_connections".to_owned(), value)]);
        Footing {
            data_free: 64 << 20,
            wal_free: 64 << 20,
            settings_file: None,
            start: Some(StartLimits {
                least: limit(least),
                files: limit(files),
            }),
        }
    }

    #[test]
    fn a_lower_setting_counts_now_where_it_is_in_force_or_the_server_is_down_and_later_where_it_runs()
     {
        let primary = |value| {
            (
                NodeName::parse("n1").unwrap(),
                settings(value, "configuration file"),
            )
        };
        for (own, line, restarts, least, files, theirs, now, later) in [
            (Some(100), false, false, 100, 100, Some(100), false, false),
            (Some(50), false, false, 50, 50, Some(100), true, false),
            (Some(50), false, false, 100, 50, None, true, false),
            (Some(100), false, false, 100, 50, Some(100), false, true),
            (Some(100), true, false, 100, 50, Some(100), false, false),
            (None, false, false, 100, 50, None, true, false),
            (None, false, false, 100, 100, Some(200), true, false),
            (Some(100), false, false, 50, 100, Some(50), false, false),
            // What it takes at its restart.
            (Some(50), false, true, 100, 100, Some(100), false, false),
            (Some(100), false, true, 100, 50, Some(100), true, false),
        ] {
            let source = if line {
                "command line"
            } else {
                "configuration file"
            };
            let own = own.map(|value| settings(value, source));
            let asked = theirs.map(primary);
            let found = too_low(
                Some(&footing(least, files)),
                own.as_ref(),
                asked.as_ref(),
                restarts,
            );
            assert_eq!(found.now.is_some(), now, "{found:?}");
            assert_eq!(found.later.is_some(), later, "{found:?}");
        }
    }
}
