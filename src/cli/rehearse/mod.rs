//! `pgbaton rehearse`: a playbook against every fault, on simulated clusters.

mod report;

use super::app::Context;
use super::args::RehearseArgs;
use super::error::CommandError;
use super::exit_codes::Code;
use super::{library, screen};
use crate::playbook::Checked;
use crate::rehearse::{Effort, Scenario, Situation, Subject, Want, explore, play};
use crate::runs::{RunsError, Shelves, cluster_of, site_file, site_vars};
use crate::site::Site;
use std::sync::Arc;

pub(crate) fn rehearse(context: &Context, args: &RehearseArgs) -> Result<Code, CommandError> {
    let subject = subject(context, args)?;
    if let Some(text) = &args.replay {
        return replay(context, args, &subject, text);
    }
    let situations = situations(&args.situation)?;
    let effort = Effort {
        situations,
        pairs: args.pairs,
        seeds: args.seeds,
        for_long: args.for_long,
        ..Effort::default()
    };
    let explored = explore(&subject, &effort)?;
    let shown = report::Shown {
        explored: &explored,
        command: &again(context, args),
        paint: context.paint,
    };
    screen::data(&if context.global.json {
        shown.json()
    } else {
        shown.text()
    });
    let clean = explored.findings.is_empty() && !explored.never_promotes;
    Ok(if clean { Code::Ok } else { Code::Failed })
}

fn replay(
    context: &Context,
    args: &RehearseArgs,
    subject: &Subject,
    text: &str,
) -> Result<Code, CommandError> {
    let scenario: Scenario = text
        .parse()
        .map_err(|error: crate::rehearse::ScenarioError| {
            CommandError::invalid(error.to_string())
        })?;
    let played = play(subject, &scenario, Want::Story)?;
    screen::data(&if context.global.json {
        report::replayed_json(&scenario, &played)
    } else {
        report::replayed(&args.playbook, &scenario, &played, context.paint)
    });
    Ok(if played.violations.is_empty() {
        Code::Ok
    } else {
        Code::Failed
    })
}

/// The playbook, and the site's nodes; without a site file, nodes that nobody has.
fn subject(context: &Context, args: &RehearseArgs) -> Result<Subject, CommandError> {
    let shelves = library::shelves(&context.global);
    let mut subject = subject_of(context, &shelves, &args.playbook)?;
    subject.params.clone_from(&args.params);
    Ok(subject)
}

/// This playbook, by name or as a file.
pub(crate) fn subject_of(
    context: &Context,
    shelves: &Shelves,
    playbook: &str,
) -> Result<Subject, CommandError> {
    let global = &context.global;
    let playbook = checked(shelves, playbook)?;
    let follow = checked(shelves, "follow")?;
    let mut subject = Subject::without_site(playbook, Some(follow));
    let file = match site_file(global.site.as_deref()) {
        Ok(file) => file,
        Err(error) if global.cluster.is_some() => return Err(error.into()),
        Err(_) => return Ok(subject),
    };
    let site = Site::load(&file).map_err(RunsError::from)?;
    let inventory = cluster_of(&site, global.cluster.as_deref())?.clone();
    subject.site_mode = Some(inventory.synchronous.mode);
    subject.vars = site_vars(&site);
    subject.inventory = Arc::new(inventory);
    Ok(subject)
}

fn checked(shelves: &Shelves, wanted: &str) -> Result<Checked, CommandError> {
    library::check(&library::open(shelves, wanted)?, shelves)
}

fn situations(wanted: &[String]) -> Result<Option<Vec<Situation>>, CommandError> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let parse = |name: &String| {
        Situation::parse(name).ok_or_else(|| {
            let all: Vec<String> = Situation::all().iter().map(ToString::to_string).collect();
            CommandError::invalid(format!("there is no situation `{name}`"))
                .hint(format!("there are: {}", all.join(", ")))
        })
    };
    wanted.iter().map(parse).collect::<Result<_, _>>().map(Some)
}

/// The command that rehearses the same again, for a `--replay` behind it.
fn again(context: &Context, args: &RehearseArgs) -> String {
    let mut words = vec!["pgbaton".to_owned()];
    if let Some(site) = &context.global.site {
        words.extend(["--site".to_owned(), quoted(&site.display().to_string())]);
    }
    if let Some(cluster) = &context.global.cluster {
        words.extend(["--cluster".to_owned(), quoted(cluster)]);
    }
    words.extend(["rehearse".to_owned(), quoted(&args.playbook)]);
    for (name, value) in &args.params {
        words.extend(["-p".to_owned(), quoted(&format!("{name}={value}"))]);
    }
    words.join(" ")
}

/// As a shell reads one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
