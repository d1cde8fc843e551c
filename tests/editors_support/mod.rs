//! A client of yaml-language-server, as small as it can be: one file at a time, every wait with an end.

use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The same as in scripts/lib.sh.
const VERSION: &str = "1.25.0";

/// Nobody waits longer for anything; that it takes this long is a failure of its own.
const LIMIT: Duration = Duration::from_mins(2);

/// The server, with one folder as its workspace.
pub(crate) struct Editor {
    server: Child,
    input: ChildStdin,
    said: Receiver<Value>,
    settings: Value,
    asked: i64,
    folder: PathBuf,
    version: i64,
    /// Files that it has seen.
    shown: HashSet<String>,
    /// Diagnostics that came while something else was waited for.
    published: Vec<Value>,
    /// It has asked for its settings.
    configured: bool,
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The program's script, where `need_yaml_language_server` of scripts/lib.sh puts it.
fn program() -> PathBuf {
    let folder = std::env::var_os("PGBATON_YAML_LANGUAGE_SERVER").map_or_else(
        || {
            let cache = std::env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty());
            let cache = cache.map_or_else(
                || Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache"),
                PathBuf::from,
            );
            cache.join(format!("pgbaton/yaml-language-server-{VERSION}"))
        },
        PathBuf::from,
    );
    let script = folder.join("node_modules/yaml-language-server/bin/yaml-language-server");
    assert!(
        script.is_file(),
        "{} is missing; scripts/test installs it",
        script.display()
    );
    script
}

impl Editor {
    /// Starts it on a folder. `settings` are those below `yaml`.
    pub(crate) fn open(folder: &Path, settings: &Value) -> Self {
        let mut server = Command::new("node")
            .arg(program())
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts; scripts/test installs it");
        let input = server.stdin.take().unwrap();
        let output = BufReader::new(server.stdout.take().unwrap());
        let (tell, said) = channel();
        std::thread::spawn(move || {
            let mut output = output;
            while let Some(message) = message(&mut output) {
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        // Nothing is asked of the network: schemas are the files of this checkout.
        let mut yaml = json!({
            "validate": true, "hover": true, "completion": true, "schemaStore": { "enable": false },
        });
        for (key, value) in settings.as_object().into_iter().flatten() {
            yaml[key] = value.clone();
        }
        let mut editor = Self {
            server,
            input,
            said,
            settings: json!({ "yaml": yaml }),
            asked: 0,
            folder: folder.to_owned(),
            version: 0,
            shown: HashSet::new(),
            published: Vec::new(),
            configured: false,
        };
        let root = editor.uri("");
        editor.request(
            "initialize",
            &json!({
                "processId": null,
                "rootUri": root,
                "workspaceFolders": [{ "uri": root, "name": "site" }],
                "capabilities": {
                    "textDocument": { "completion": { "completionItem": { "snippetSupport": true } } },
                    "workspace": { "configuration": true },
                },
            }),
        );
        editor.notify("initialized", &json!({}));
        let settings = editor.settings.clone();
        editor.notify(
            "workspace/didChangeConfiguration",
            &json!({ "settings": settings }),
        );
        let until = Instant::now() + LIMIT;
        while !editor.configured {
            let message = editor.next(until, "a question for settings");
            editor.handle(&message);
        }
        editor
    }

    fn uri(&self, name: &str) -> String {
        if Path::new(name).is_absolute() {
            return format!("file://{name}");
        }
        format!("file://{}/{name}", self.folder.display())
    }

    /// Shows a file to the server, without keeping it on a disk; what is open under the name is closed first.
    fn show(&mut self, name: &str, text: &str) -> String {
        let uri = self.uri(name);
        self.shown.insert(uri.clone());
        // What it has parsed it keeps by name and version.
        self.version += 1;
        self.notify(
            "textDocument/didClose",
            &json!({ "textDocument": { "uri": uri } }),
        );
        self.notify(
            "textDocument/didOpen",
            &json!({ "textDocument": { "uri": uri, "languageId": "yaml", "version": self.version, "text": text } }),
        );
        uri
    }

    /// What is offered where `‸` stands in the text.
    pub(crate) fn completion(&mut self, name: &str, text: &str) -> Vec<Value> {
        let (text, position) = cursor(text);
        let uri = self.show(name, &text);
        let answer = self.request(
            "textDocument/completion",
            &json!({ "textDocument": { "uri": uri }, "position": position }),
        );
        let items = answer.get("items").unwrap_or(&answer);
        items.as_array().cloned().unwrap_or_default()
    }

    /// The labels of what is offered, sorted.
    pub(crate) fn offered(&mut self, name: &str, text: &str) -> Vec<String> {
        let items = self.completion(name, text);
        let mut labels: Vec<String> = items
            .iter()
            .map(|item| item["label"].as_str().unwrap().to_owned())
            .collect();
        labels.sort();
        labels.dedup();
        labels
    }

    /// Settings are taken up some time after they were told; until then nothing is offered in a file without a line of its own.
    pub(crate) fn wait_for_settings(&mut self, name: &str, text: &str) {
        let until = Instant::now() + LIMIT;
        while self.completion(name, text).is_empty() {
            assert!(Instant::now() < until, "nothing is offered in {name}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What is told of the word where `‸` stands.
    pub(crate) fn hover(&mut self, name: &str, text: &str) -> String {
        let (text, position) = cursor(text);
        let uri = self.show(name, &text);
        let answer = self.request(
            "textDocument/hover",
            &json!({ "textDocument": { "uri": uri }, "position": position }),
        );
        answer["contents"]["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// What the server has against the text of a file that was not shown before: line, counted from 1, and message.
    pub(crate) fn diagnostics(&mut self, name: &str, text: &str) -> Vec<(u64, String)> {
        // A file that is opened once is judged once.
        let uri = self.uri(name);
        assert!(self.shown.insert(uri.clone()), "{name} was shown before");
        self.show(name, text);
        let until = Instant::now() + LIMIT;
        loop {
            let mut published = self.published.iter();
            if let Some(message) = published.find(|message| message["uri"] == uri.as_str()) {
                let found = message["diagnostics"].as_array().unwrap();
                return found.iter().map(problem).collect();
            }
            let message = self.next(until, &format!("diagnostics of {name}"));
            self.handle(&message);
        }
    }

    fn request(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({ "id": id, "method": method, "params": params }));
        let until = Instant::now() + LIMIT;
        loop {
            let message = self.next(until, method);
            if message.get("method").is_some() {
                self.handle(&message);
            } else if message["id"] == json!(id) {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "method": method, "params": params }));
    }

    fn next(&mut self, until: Instant, what: &str) -> Value {
        let left = until.saturating_duration_since(Instant::now());
        match self.said.recv_timeout(left) {
            Ok(message) => message,
            Err(error) => panic!("{what}: no answer from yaml-language-server: {error}"),
        }
    }

    /// What the server asks and says by itself.
    fn handle(&mut self, message: &Value) {
        let params = &message["params"];
        if let Some(id) = message.get("id") {
            let result = match message["method"].as_str() {
                Some("workspace/configuration") => {
                    self.configured = true;
                    let sections = params["items"].as_array().unwrap().iter();
                    sections
                        .map(|item| {
                            let section = item["section"].as_str().unwrap_or_default();
                            self.settings.get(section).cloned().unwrap_or(Value::Null)
                        })
                        .collect()
                }
                _ => Value::Null,
            };
            self.send(&json!({ "id": id, "result": result }));
        } else if message["method"] == "textDocument/publishDiagnostics" {
            self.published.push(params.clone());
        }
    }

    fn send(&mut self, message: &Value) {
        let mut message = message.clone();
        message["jsonrpc"] = json!("2.0");
        let body = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self.input.flush().unwrap();
    }
}

fn problem(found: &Value) -> (u64, String) {
    let line = found["range"]["start"]["line"].as_u64().unwrap();
    (line + 1, found["message"].as_str().unwrap().to_owned())
}

/// The text without its mark, and where that was. Columns count UTF-16; what stands before the mark is ASCII.
fn cursor(text: &str) -> (String, Value) {
    let (before, after) = text.split_once('‸').expect("the text has a mark");
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().len();
    (
        format!("{before}{after}"),
        json!({ "line": line, "character": column }),
    )
}

/// The next message; none when the server has gone.
fn message(output: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", number)) => length = number.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
