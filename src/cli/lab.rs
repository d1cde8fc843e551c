//! `pgbaton lab`: disposable clusters on this machine.

use super::app::Context;
use super::args::{LabCommand, LabFaultArgs, LabNameArgs, LabUpArgs};
use super::error::{CommandError, Kind};
use super::exit_codes::Code;
use super::paint::Paint;
use super::signals::{Hangup, Interrupts};
use super::{run, screen, text};
use crate::cluster::NodeName;
use crate::lab::{
    Cut, Fault, Lab, LabError, LabOptions, LabStatus, NodeStatus, ProcessState, Role,
};
use std::fmt::Write as _;

pub(crate) async fn lab(context: &Context, command: LabCommand) -> Result<Code, CommandError> {
    match command {
        LabCommand::Up(args) => up(context, args).await,
        LabCommand::Down(args) => down(&args).await,
        LabCommand::Status(args) => status(context, &args).await,
        LabCommand::Fault(args) => fault(&args).await,
    }
}

async fn up(context: &Context, args: LabUpArgs) -> Result<Code, CommandError> {
    let interrupts = run::listen(Hangup::Cancels)?;
    let options = LabOptions {
        name: args.name,
        standbys: args.standbys,
        hosts: args.hosts,
        ..LabOptions::default()
    };
    let lab = make(options, &interrupts).await?;
    let seen = lab.status().await.map_err(|e| trouble(&e))?;
    if context.global.json {
        show_json(&seen);
    } else {
        let site = lab.site_file().display();
        let name = lab.name();
        let cut = if lab.has_hosts() {
            format!("Cut its primary off: pgbaton lab fault cut n1 --name {name}\n")
        } else {
            String::new()
        };
        screen::data(&format!(
            "{}\nSite file: {site}\n\nLook at it:      pgbaton --site {site} status\n\
             Switch over:     pgbaton --site {site} run switchover -p candidate=n2\n\
             Kill its primary: pgbaton lab fault kill n1 --name {name}, \
             then pgbaton --site {site} run failover\n{cut}\
             Remove it:       pgbaton lab down --name {name}\n",
            table(&seen, context.paint)
        ));
    }
    Ok(Code::Ok)
}

/// Makes a lab; a signal meanwhile leaves nothing of it.
pub(crate) async fn make(
    options: LabOptions,
    interrupts: &Interrupts,
) -> Result<Lab, CommandError> {
    tokio::select! {
        biased;
        () = interrupts.cancel.cancelled() => {
            Err(CommandError::new(Kind::Interrupted, "interrupted; nothing of the lab is left"))
        }
        made = Lab::up(options) => made.map_err(|e| trouble(&e)),
    }
}

async fn down(args: &LabNameArgs) -> Result<Code, CommandError> {
    let lab = Lab::open(&args.name).map_err(|e| trouble(&e))?;
    lab.down().await.map_err(|e| trouble(&e))?;
    screen::note(&format!("lab {} is gone\n", args.name));
    Ok(Code::Ok)
}

async fn status(context: &Context, args: &LabNameArgs) -> Result<Code, CommandError> {
    let lab = Lab::open(&args.name).map_err(|e| trouble(&e))?;
    let seen = lab.status().await.map_err(|e| trouble(&e))?;
    if context.global.json {
        show_json(&seen);
    } else {
        let site = seen.site_file.display();
        let table = table(&seen, context.paint);
        screen::data(&format!("{table}\nSite file: {site}\n"));
    }
    Ok(Code::Ok)
}

async fn fault(args: &LabFaultArgs) -> Result<Code, CommandError> {
    let fault: Fault = args
        .fault
        .parse()
        .map_err(|e: crate::lab::UnknownFault| CommandError::invalid(e.to_string()))?;
    let node = NodeName::parse(&args.node).map_err(|e| CommandError::invalid(e.to_string()))?;
    let ends = [
        args.from.clone().map(Cut::From),
        args.to.clone().map(Cut::To),
    ];
    let ends: Vec<Cut> = ends.into_iter().flatten().collect();
    if fault != Fault::Cut && !ends.is_empty() {
        return Err(CommandError::invalid(format!(
            "--from and --to say what to cut, and do not go with `{fault}`"
        )));
    }
    let lab = Lab::open(&args.name).map_err(|e| trouble(&e))?;
    if ends.is_empty() {
        lab.fault(&node, fault).await.map_err(|e| trouble(&e))?;
    }
    for cut in &ends {
        lab.cut(&node, cut).await.map_err(|e| trouble(&e))?;
    }
    screen::note(&format!("{fault} {node}: done\n"));
    Ok(Code::Ok)
}

/// A lab's error as the command line's. What was asked for and is not possible is a usage error.
pub(crate) fn trouble(error: &LabError) -> CommandError {
    let kind = match error {
        LabError::Missing { .. }
        | LabError::UnknownNode { .. }
        | LabError::Exists { .. }
        | LabError::Needs { .. }
        | LabError::NoHosts { .. } => Kind::Invalid,
        LabError::Busy { .. } => Kind::Busy,
        _ => Kind::Failed,
    };
    let mut told = CommandError::new(kind, error.to_string());
    if let Some(source) = std::error::Error::source(error) {
        told = told.caused_by(source);
    }
    told.hints.extend(error.help());
    told
}

fn show_json(seen: &LabStatus) {
    // A status holds nothing that JSON cannot.
    if let Ok(json) = serde_json::to_string(seen) {
        screen::data(&format!("{json}\n"));
    }
}

fn table(seen: &LabStatus, paint: Paint) -> String {
    let names = seen.nodes.iter().map(|n| text::width(n.name.as_str()));
    let name = names.chain([4]).max().unwrap_or(4);
    let place = seen.nodes.iter().map(|n| address(n).len()).chain([7]);
    let place = place.max().unwrap_or(7);
    let mut out = format!(
        "{}  {:<place$}  {:<8}  {:<8}  {:>7}  Data\n",
        text::pad("Name", name),
        "Address",
        "Process",
        "Role",
        "PID"
    );
    for node in &seen.nodes {
        let _ = writeln!(out, "{}", row(node, name, place, paint));
    }
    out
}

fn address(node: &NodeStatus) -> String {
    format!("{}:{}", node.host, node.port)
}

fn row(node: &NodeStatus, name: usize, place: usize, paint: Paint) -> String {
    let process = match node.process {
        ProcessState::Running => paint.good("running "),
        ProcessState::Frozen => paint.warn("frozen  "),
        ProcessState::Orphaned => paint.warn("orphaned"),
        ProcessState::Down => paint.bad("down    "),
    };
    let role = match node.role {
        Some(Role::Primary) => "primary",
        Some(Role::Standby) => "standby",
        None => "?",
    };
    let pid = node.pid.map(|pid| pid.to_string()).unwrap_or_default();
    format!(
        "{}  {:<place$}  {process}  {role:<8}  {pid:>7}  {}",
        text::pad(node.name.as_str(), name),
        address(node),
        node.data.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_in_every_state_have_their_line() {
        let node = |name: &str, process, pid, role| NodeStatus {
            name: NodeName::parse(name).unwrap(),
            host: "127.0.0.1".into(),
            port: 15432,
            data: format!("/var/tmp/labs/lab/{name}/data").into(),
            process,
            pid,
            role,
        };
        let seen = LabStatus {
            name: "lab".into(),
            dir: "/var/tmp/labs/lab".into(),
            site_file: "/var/tmp/labs/lab/site.yaml".into(),
            nodes: vec![
                node("n1", ProcessState::Running, Some(4711), Some(Role::Primary)),
                node("n2", ProcessState::Running, Some(4712), Some(Role::Standby)),
                node("n3", ProcessState::Frozen, Some(4713), None),
                node("n4", ProcessState::Orphaned, None, None),
                node("n5", ProcessState::Down, None, None),
            ],
        };
        insta::assert_snapshot!(table(&seen, Paint::plain()));
    }

    #[test]
    fn a_lab_that_is_not_there_is_a_usage_error_with_advice() {
        let error = trouble(&LabError::Missing {
            name: "x".into(),
            labs: vec!["lab".into()],
        });
        assert_eq!(error.code(), Code::Invalid);
        assert_eq!(error.hints, ["there are: lab"]);
    }
}
