//! `defaults` and `nodes`: what is said about one server.

use super::{service, transport, words};
use crate::cluster::{Node, NodeName, PromotePolicy, Service, Transport};
use crate::document::{Entry, Lowering, MapReader};
use std::path::{Path, PathBuf};

/// The words of `promote`.
pub(super) const PROMOTE: [(&str, PromotePolicy); 2] = [
    ("allowed", PromotePolicy::Allowed),
    ("never", PromotePolicy::Never),
];

/// What a node has unless it says otherwise.
#[derive(Debug, Clone)]
pub(super) struct Defaults {
    pub(super) port: u16,
    pub(super) priority: i64,
    pub(super) location: String,
    pub(super) promote: PromotePolicy,
    pub(super) data: Option<PathBuf>,
    pub(super) bin: Option<PathBuf>,
    pub(super) transport: Option<Transport>,
    pub(super) log: Option<PathBuf>,
    pub(super) service: Option<Service>,
    pub(super) forbid_return: Option<Vec<String>>,
    pub(super) allow_return: Option<Vec<String>>,
}

impl Defaults {
    /// Before anything is said.
    pub(super) fn new(port: u16, transport: Option<Transport>) -> Self {
        Self {
            port,
            priority: 100,
            location: "default".to_owned(),
            promote: PromotePolicy::Allowed,
            data: None,
            bin: None,
            transport,
            log: None,
            service: None,
            forbid_return: None,
            allow_return: None,
        }
    }

    /// With what `defaults` says.
    pub(super) fn over(mut self, to: &mut Lowering<'_>, entry: &Entry, base: &Path) -> Self {
        if let Some(mut map) = to.map("`defaults`", &entry.value) {
            self.take(to, &mut map, base);
            map.finish(to);
        }
        self
    }

    /// The keys that `defaults` and a node have in common.
    fn take(&mut self, to: &mut Lowering<'_>, map: &mut MapReader<'_>, base: &Path) {
        if let Some(port) = map
            .optional(to, "port")
            .and_then(|e| words::port(to, &e.value))
        {
            self.port = port;
        }
        if let Some(priority) = map
            .optional(to, "priority")
            .and_then(|e| to.integer("`priority`", &e.value, -1_000_000, 1_000_000))
        {
            self.priority = priority;
        }
        if let Some(location) = map
            .optional(to, "location")
            .and_then(|e| words::text(to, "`location`", &e.value))
        {
            self.location = location.value;
        }
        if let Some(promote) = map
            .optional(to, "promote")
            .and_then(|e| to.one_of("`promote`", &e.value, &PROMOTE))
        {
            self.promote = promote.value;
        }
        for (key, field) in [
            ("data", &mut self.data),
            ("bin", &mut self.bin),
            ("log", &mut self.log),
        ] {
            if let Some(entry) = map.optional(to, key) {
                // Where it cannot be used that was said, and nothing about it being missing.
                let path = words::remote_path(to, &format!("`{key}`"), &entry.value);
                *field = Some(path.unwrap_or_default());
            }
        }
        if let Some(service) = map
            .optional(to, "service")
            .and_then(|e| service::lower(to, e))
        {
            self.service = Some(service);
        }
        for (key, field) in [
            ("forbid_return", &mut self.forbid_return),
            ("allow_return", &mut self.allow_return),
        ] {
            if let Some(argv) = map
                .optional(to, key)
                .and_then(|e| words::argv(to, &format!("`{key}`"), &e.value))
            {
                *field = Some(argv);
            }
        }
        if let Some(given) = transport::lower(to, map, self.transport.as_ref(), base) {
            self.transport = Some(given);
        }
    }
}

/// One node, still with the number that it was given, if any.
pub(super) struct Numbered {
    pub(super) node: Node,
    pub(super) id: Option<u32>,
}

/// None only after an error.
pub(super) fn lower(
    to: &mut Lowering<'_>,
    entry: &Entry,
    defaults: &Defaults,
    base: &Path,
) -> Option<Numbered> {
    let name = match NodeName::parse(&entry.key.value) {
        Ok(name) => Some(name),
        Err(e) => {
            to.error("bad-name", entry.key.span, e.to_string());
            None
        }
    };
    let what = format!("node `{}`", entry.key.value);
    let mut map = to.map(what.clone(), &entry.value)?;
    let host = map
        .required(to, "host")
        .and_then(|e| words::host(to, &e.value));
    let id = map
        .optional(to, "id")
        .and_then(|e| to.integer("`id`", &e.value, 1, i64::from(i32::MAX)))
        .and_then(|id| u32::try_from(id).ok());
    let mut own = defaults.clone();
    own.take(to, &mut map, base);
    // A socket is on this machine, and so is then its server.
    let socket = host.as_deref().is_some_and(|h| h.starts_with('/'));
    let transport = own.transport.unwrap_or_else(|| {
        if socket {
            Transport::Local { user: None }
        } else {
            transport::bare_ssh()
        }
    });
    if transport != Transport::None {
        for (key, given) in [("data", &own.data), ("bin", &own.bin)] {
            // A key without a value was reported already.
            if given.is_none() && map.peek(key).is_none() {
                let d = to.error(
                    "missing-key",
                    entry.key.span,
                    format!("{what} needs `{key}`, here or in `defaults`"),
                );
                d.help = Some(match key {
                    "data" => "the data directory on its host".to_owned(),
                    _ => "the directory of the server's programs on its host, like /usr/lib/postgresql/15/bin".to_owned(),
                });
            }
        }
    }
    map.finish(to);
    let node = Node {
        name: name?,
        id: 0,
        host: host?,
        port: own.port,
        priority: own.priority,
        location: own.location,
        promote: own.promote,
        data: own.data.unwrap_or_default(),
        bin: own.bin.unwrap_or_default(),
        transport,
        log: own.log,
        service: own.service,
        forbid_return: own.forbid_return,
        allow_return: own.allow_return,
    };
    Some(Numbered { node, id })
}
