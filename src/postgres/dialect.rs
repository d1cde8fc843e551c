//! What differs between products, and the steps that an operation comes to.
//!
//! A step holds what is executed; what is shown of it is derived from that, so a preview cannot promise anything else
//! than what the live cluster does.

use super::secret::{MASK, Masked};
use crate::cluster::{Given, HttpRequest, Inventory, Node, NodeName, Operation, Rendered, Trouble};
use crate::transport::quote_all;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// The names that a product gives to its programs and files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) control: &'static str,
    pub(crate) control_data: &'static str,
    pub(crate) wal_dump: &'static str,
    pub(crate) is_ready: &'static str,
    /// The client for statements.
    pub(crate) client: &'static str,
    pub(crate) rewind: &'static str,
    pub(crate) base_backup: &'static str,
    /// The server program.
    pub(crate) server: &'static str,
    /// The names, with blanks between, that the kernel gives its processes: that of the file that was executed, be it a
    /// link to the program.
    pub(crate) processes: &'static str,
    pub(crate) pid_file: &'static str,
    pub(crate) auto_conf: &'static str,
    pub(crate) wal_dir: &'static str,
    /// Where the slots lie, one directory each.
    pub(crate) slot_dir: &'static str,
    /// Where the links to tablespaces lie.
    pub(crate) space_dir: &'static str,
    /// Its control file and its WAL have PostgreSQL's form, so that they can be read without its programs.
    pub(crate) form_is_known: bool,
}

/// A product: its names, and the text of every operation.
pub(crate) trait Dialect: Send + Sync {
    fn names(&self) -> &'static Names;

    /// What performing the operation does, in order. An error when it names what the inventory does not have.
    fn steps(&self, inventory: &Inventory, operation: &Operation) -> Result<Vec<Step>, Trouble>;
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A statement of ours on a running server.
    Sql(SqlStep),
    /// A script on a host.
    Host(HostStep),
    /// A change of the server's own configuration file while the server is down.
    Edit(EditStep),
    /// Keep the replication settings in a file on the host.
    Save {
        node: NodeName,
        file: String,
        /// The run that they are kept for.
        owner: String,
    },
    /// Put them back, by SQL or by editing the file, and remove the file.
    Restore {
        node: NodeName,
        file: String,
        settings: &'static [&'static str],
        by_file: bool,
    },
    /// A program of the site's.
    Exec(ExecStep),
    /// A statement of the site's.
    SiteSql {
        node: NodeName,
        dbname: Option<String>,
        statement: String,
        parameters: Vec<Option<String>>,
    },
    /// An HTTP request.
    Http(HttpRequest),
}

/// A statement of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlStep {
    pub(crate) node: NodeName,
    pub(crate) text: Masked,
    /// Only where this setting can be changed by a reload.
    pub(crate) only_if_reloadable: Option<&'static str>,
    /// How the server says that it is so already.
    pub(crate) so_already: Option<SoAlready>,
    /// It may take longer than our statements do.
    pub(crate) long: bool,
    /// The result of the last statement is the operation's, under this name.
    pub(crate) returns: Option<&'static str>,
    /// The database, where it is not pgbaton's own; for statements without a result.
    pub(crate) dbname: Option<String>,
}

/// How the server says that there is nothing left to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SoAlready {
    /// The SQLSTATE.
    pub(crate) code: &'static str,
    /// A question whose answer must be true then, and what is wrong when it is not.
    pub(crate) proof: Option<(String, &'static str)>,
}

impl SqlStep {
    pub(crate) fn new(node: &NodeName, text: Masked) -> Self {
        Self {
            node: node.clone(),
            text,
            only_if_reloadable: None,
            so_already: None,
            long: false,
            returns: None,
            dbname: None,
        }
    }
}

/// A script of ours on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostStep {
    pub(crate) node: NodeName,
    pub(crate) task: Task,
    pub(crate) script: &'static str,
    /// What follows the three arguments that every script takes.
    pub(crate) arguments: Vec<String>,
    /// What is shown of it.
    pub(crate) shown: Shown,
    pub(crate) deadline: Duration,
    /// The script's word is the operation's result, under this name.
    pub(crate) returns: Option<&'static str>,
    /// The program logs in to this node as pgbaton does: it is given the password in its environment.
    pub(crate) login: Option<NodeName>,
    /// What went wrong when it is still pending: what was asked for and did not come.
    pub(crate) pending: String,
}

/// What a script does, where it can be done without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Only by the script.
    Script,
    /// Only by the script, which takes long: recorded on its host, and ended when nobody wants it any more.
    Work,
    PlaceSignal,
    RemoveSignal,
    /// The first argument is the file's name.
    RemoveFile,
    /// The command is [`HostStep::command`], as for `Start`; the server is waited for this long.
    Stop(Duration),
    /// As `Stop`, and its sessions are ended.
    Terminate(Duration),
    Kill(Duration),
    /// The first argument is the log.
    Start(Duration),
}

/// How a script is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The arguments from this one on are the command.
    Arguments(usize),
    /// The same, and what happens besides.
    Besides(usize, &'static str),
    /// A line.
    Line(String),
    /// A change of this file.
    File(String, &'static str),
}

/// A change of the server's own configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EditStep {
    pub(crate) node: NodeName,
    /// The file's name.
    pub(crate) file: &'static str,
    /// The file's path.
    pub(crate) path: String,
    /// Settings and their values.
    pub(crate) set: Vec<(&'static str, Masked)>,
}

/// A program of the site's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecStep {
    /// None: where pgbaton runs.
    pub(crate) node: Option<NodeName>,
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, Given>,
    pub(crate) stdin: Option<Given>,
    pub(crate) deadline: Duration,
    /// Its output is the operation's result.
    pub(crate) returns: bool,
}

impl Step {
    /// As people see it.
    pub(crate) fn rendered(&self, inventory: &Inventory) -> Vec<Rendered> {
        match self {
            Self::Sql(step) => {
                let mut shown = format!("{};", step.text.shown());
                if let Some(setting) = step.only_if_reloadable {
                    shown = format!("{shown} -- where a reload applies {setting}");
                }
                if let Some(dbname) = &step.dbname {
                    shown = format!("{shown} -- in database {dbname}");
                }
                vec![Rendered::Sql {
                    node: step.node.clone(),
                    shown,
                }]
            }
            Self::Host(step) => vec![step.rendered()],
            Self::Edit(step) => vec![Rendered::File {
                node: step.node.clone(),
                path: step.path.clone(),
                shown: step
                    .set
                    .iter()
                    .map(|(name, value)| {
                        format!("{name} = {}", super::autoconf::quoted(value.shown()))
                    })
                    .collect::<Vec<_>>()
                    .join("\n"),
            }],
            Self::Save { node, file, .. } => vec![Rendered::File {
                node: node.clone(),
                path: in_data(inventory, node, file),
                shown: "the present replication settings (mode 0600)".to_owned(),
            }],
            Self::Restore {
                node,
                file,
                settings,
                by_file,
            } => restore_rendered(inventory, node, file, settings, *by_file),
            Self::Exec(step) => vec![Rendered::Command {
                node: step.node.clone(),
                shown: step.shown(),
            }],
            Self::SiteSql {
                node,
                statement,
                parameters,
                dbname,
            } => {
                let mut shown = statement.clone();
                if let Some(dbname) = dbname {
                    shown = format!("{shown} -- in database {dbname}");
                }
                if !parameters.is_empty() {
                    shown = format!("{shown} -- {} parameters", parameters.len());
                }
                vec![Rendered::Sql {
                    node: node.clone(),
                    shown,
                }]
            }
            Self::Http(request) => vec![Rendered::Http {
                shown: http_shown(request),
            }],
        }
    }
}

impl HostStep {
    /// The command that a script runs, where it does.
    pub(crate) fn command(&self) -> &[String] {
        match self.shown {
            Shown::Arguments(from) | Shown::Besides(from, _) => &self.arguments[from..],
            Shown::Line(_) | Shown::File(..) => &[],
        }
    }

    fn rendered(&self) -> Rendered {
        let node = Some(self.node.clone());
        match &self.shown {
            Shown::Arguments(_) => Rendered::Command {
                node,
                shown: quote_all(self.command()),
            },
            Shown::Besides(_, what) => Rendered::Command {
                node,
                shown: format!("{} # {what}", quote_all(self.command())),
            },
            Shown::Line(line) => Rendered::Command {
                node,
                shown: line.clone(),
            },
            Shown::File(path, what) => Rendered::File {
                node: self.node.clone(),
                path: path.clone(),
                shown: (*what).to_owned(),
            },
        }
    }
}

impl ExecStep {
    fn shown(&self) -> String {
        let mut shown = String::new();
        // A secret is a reference, but a site may have put one in as plain text.
        for name in self.env.keys() {
            let _ = write!(shown, "{name}={MASK} ");
        }
        shown.push_str(&quote_all(&self.argv));
        if self.stdin.is_some() {
            let _ = write!(shown, " <<< {MASK}");
        }
        shown
    }
}

fn restore_rendered(
    inventory: &Inventory,
    node: &NodeName,
    file: &str,
    settings: &[&str],
    by_file: bool,
) -> Vec<Rendered> {
    let saved = in_data(inventory, node, file);
    let mut rendered: Vec<Rendered> = settings
        .iter()
        .map(|name| {
            if by_file {
                Rendered::File {
                    node: node.clone(),
                    path: saved.clone(),
                    shown: format!(
                        "{name} as it was, back into the server's own configuration file"
                    ),
                }
            } else {
                Rendered::Sql {
                    node: node.clone(),
                    shown: format!(
                        "ALTER SYSTEM SET {name} = {MASK}; -- or RESET, as kept in {saved}"
                    ),
                }
            }
        })
        .collect();
    if !by_file {
        rendered.push(Rendered::Sql {
            node: node.clone(),
            shown: "SELECT pg_reload_conf();".to_owned(),
        });
    }
    rendered.push(Rendered::Command {
        node: Some(node.clone()),
        shown: quote_all(["rm", "-f", "--", &saved]),
    });
    rendered
}

/// The path of a file of a node's data directory.
pub(crate) fn in_data(inventory: &Inventory, node: &NodeName, file: &str) -> String {
    let data = inventory.node(node).map_or(Path::new(""), |n| &n.data);
    data.join(file).display().to_string()
}

/// The path of a program of the server's.
pub(crate) fn program(node: &Node, name: &str) -> String {
    node.bin.join(name).display().to_string()
}

/// The URL without what may be a secret (user, password and query), and neither headers nor body, which often hold one.
fn http_shown(request: &HttpRequest) -> String {
    let url = request.url.plain().unwrap_or(MASK);
    let (head, query) = url
        .split_once('?')
        .map_or((url, ""), |(head, _)| (head, "?***"));
    let shown = match head.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
            format!("{scheme}://{host}{path}")
        }
        None => head.to_owned(),
    };
    let mut text = format!("{} {shown}{query}", request.method);
    for name in request.headers.keys() {
        let _ = write!(text, "\n{name}: {MASK}");
    }
    match &request.body {
        Some(Given::Plain(body)) => {
            let _ = write!(text, "\n({} bytes)", body.len());
        }
        Some(Given::Secret(_)) => {
            let _ = write!(text, "\n{MASK}");
        }
        None => {}
    }
    text
}
