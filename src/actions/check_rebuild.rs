//! How a node that was compared with its future upstream can come back: as it is, by a rewind, or as a new copy.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Rebuild, Timeline};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct CheckRebuild;

#[async_trait]
impl Deed for CheckRebuild {
    fn signature() -> Signature {
        Signature {
            name: "check_rebuild",
            summary: "Tell in which way a node that was compared with its future upstream can follow it: as it is, after a \
                      rewind, or as a new copy.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required("upstream", Type::Node, "what it is to follow"),
                Field::required(
                    "divergence",
                    Type::String,
                    "what `check_lsn` found with `report: true`",
                ),
            ],
            outputs: vec![
                Field::required("way", Type::String, "`follow`, `rewind` or `clone`")
                    .one_of(&["follow", "rewind", "clone"]),
                Field::required("why", Type::String, "the reason"),
            ],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(30),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("to be looked at anew".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let (way, why) = choose(scene, &node).await?;
        if way == "clone" {
            may_copy(scene, &node, &why).await?;
        }
        let text = format!("{node}: {way}: {why}");
        scene
            .note("way", text, serde_json::json!({ "node": node, "way": way }))
            .await;
        Ok(outputs([("way", way.into()), ("why", why.into())]))
    }
}

async fn choose(scene: &Scene<'_>, node: &NodeName) -> Result<(&'static str, String), Failure> {
    let upstream = scene.required_node("upstream")?;
    let divergence = scene.text("divergence").unwrap_or_default();
    let primary = matches!(scene.cluster.server(node).await, Ok(server) if !server.in_recovery);
    match divergence {
        "none" if !primary => {
            return Ok(("follow", format!("it is on the history of {upstream}")));
        }
        "other_system" => return Ok(("clone", "it belongs to another cluster".to_owned())),
        "wal_gone" => {
            return Ok((
                "clone",
                format!("{upstream} has no longer the WAL that it needs next"),
            ));
        }
        _ => {}
    }
    let able = scene.cluster.rebuild(node).await?;
    if divergence == "half_rewound" {
        return Ok(("rewind", "a rewind of it did not end".to_owned()));
    }
    let (host, identity) = (
        scene.cluster.host(node).await?,
        scene.cluster.identify(&upstream).await?,
    );
    if let Some(why) = impossible(&able, host.timeline(), identity.timeline) {
        return Ok(("clone", format!("it cannot be rewound: {why}")));
    }
    let pages = scene
        .cluster
        .settings(&upstream, &["full_page_writes"])
        .await?;
    if pages.values().any(|setting| setting.value == "off") {
        let why = format!("it cannot be rewound: full_page_writes is off on {upstream}");
        return Ok(("clone", why));
    }
    let why = if primary {
        "it runs as a primary, and will be beyond the fork when it is stopped".to_owned()
    } else {
        format!("it holds what {upstream} does not")
    };
    Ok(("rewind", why))
}

/// Refuses where not even a copy can be made.
async fn may_copy(scene: &Scene<'_>, node: &NodeName, why: &str) -> Result<(), Failure> {
    let able = scene.cluster.rebuild(node).await?;
    let upstream = scene.required_node("upstream")?;
    let release = scene.server(&upstream).await?.version / 10_000;
    let Some((lacks, help)) = no_copy(&able, &upstream, release) else {
        return Ok(());
    };
    Err(Failure::refused(format!(
        "{node} can only come back as a new copy ({why}), and none can be made: {lacks}"
    ))
    .with_help(format!("nothing was changed; {help}")))
}

/// Why no copy can be made, and what helps.
fn no_copy(able: &Rebuild, upstream: &NodeName, release: u32) -> Option<(String, &'static str)> {
    const PROGRAMS: &str = "see the node's `bin` in the site file";
    if !able.can_copy {
        let lacks = "the program that copies is not among its server's programs".to_owned();
        return Some((lacks, PROGRAMS));
    }
    if let Some(copies) = able.copies.filter(|copies| *copies < release) {
        let lacks =
            format!("the program that copies is of release {copies}, and {upstream} of {release}");
        return Some((lacks, PROGRAMS));
    }
    if able.mounted {
        return Some((
            "its data directory is where a disk is mounted, so that no copy can take its place"
                .to_owned(),
            "move the data into a directory below that and name it as the node's `data` in the site file, or renew them by hand",
        ));
    }
    let lacks = || "nothing can be made beside its data directory".to_owned();
    (!able.beside).then(|| (lacks(), "see the node's `data` in the site file"))
}

/// Why the program that rewinds would refuse.
fn impossible(able: &Rebuild, mine: Option<Timeline>, theirs: Timeline) -> Option<String> {
    if !able.can_rewind {
        return Some("the program that rewinds is not among its server's programs".to_owned());
    }
    if let (Some(program), Some(data)) = (able.rewinds, able.release)
        && program != data
    {
        return Some(format!(
            "the program that rewinds is of release {program}, and its data are of {data}"
        ));
    }
    if !able.wal_log_hints && !able.checksums {
        return Some("it ran with neither wal_log_hints nor data checksums".to_owned());
    }
    if !able.beside {
        return Some(
            "nothing can be made beside its data directory, where its settings are kept meanwhile"
                .to_owned(),
        );
    }
    // The two are told apart by nothing but the number of the timeline.
    (mine == Some(theirs)).then(|| format!("both are on a timeline {theirs}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_program_would_refuse_is_told_beforehand() {
        let able = Rebuild {
            wal_log_hints: true,
            checksums: false,
            can_rewind: true,
            rewinds: Some(12),
            can_copy: true,
            copies: Some(12),
            release: Some(12),
            archive: false,
            beside: true,
            mounted: false,
        };
        let told = |able: &Rebuild, mine| impossible(able, Some(Timeline(mine)), Timeline(2));
        assert_eq!(told(&able, 1), None);
        assert!(told(&able, 2).is_some_and(|why| why.contains("timeline 2")));
        let plain = Rebuild {
            wal_log_hints: false,
            ..able.clone()
        };
        assert!(told(&plain, 1).is_some_and(|why| why.contains("wal_log_hints")));
        let checked = Rebuild {
            checksums: true,
            ..plain
        };
        assert_eq!(told(&checked, 1), None);
        for broken in [
            Rebuild {
                can_rewind: false,
                ..able.clone()
            },
            Rebuild {
                rewinds: Some(15),
                ..able.clone()
            },
            Rebuild {
                beside: false,
                ..able.clone()
            },
        ] {
            assert!(told(&broken, 1).is_some());
        }
        let mounted = Rebuild {
            mounted: true,
            ..able.clone()
        };
        assert_eq!(told(&mounted, 1), None, "nothing takes its place");
        let upstream = NodeName::parse("n2").unwrap();
        let no_copy = |able: &Rebuild, release| no_copy(able, &upstream, release);
        assert_eq!(no_copy(&able, 12), None);
        assert!(no_copy(&able, 13).is_some_and(|(lacks, _)| lacks.contains("of release 12")));
        assert!(no_copy(&mounted, 12).is_some_and(|(lacks, _)| lacks.contains("mounted")));
    }
}
