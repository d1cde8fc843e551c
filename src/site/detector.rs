//! `detector`: what a watch over the cluster may do by itself.

use super::schema::{choice, text};
use super::words;
use crate::cluster::{ASKED_FIRST, Detector, LOSSES, Mode, OnReturn, OnShutdown};
use crate::document::{Lowering, MapReader, Spanned, Tree, format_duration, parse_duration};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// In the place of a playbook: none.
const NONE: &str = "none";

/// The words of `mode`.
pub(super) const MODES: [(&str, Mode); 3] = [
    ("observe", Mode::Observe),
    ("approve", Mode::Approve),
    ("auto", Mode::Auto),
];

/// The words of `on_shutdown`.
pub(super) const ON_SHUTDOWN: [(&str, OnShutdown); 2] =
    [("alert", OnShutdown::Alert), ("act", OnShutdown::Act)];

/// The words of `on_return`.
pub(super) const ON_RETURN: [(&str, OnReturn); 2] =
    [("alert", OnReturn::Alert), ("rejoin", OnReturn::Rejoin)];

/// None only after an error.
pub(super) fn lower(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Detector> {
    let mut detector = Detector::default();
    if matches!(value.value, Tree::String { .. }) {
        detector.mode = to.one_of("`detector`", value, &MODES)?.value;
        return Some(detector);
    }
    let mut map = to.map("`detector`", value)?;
    let mode = map.optional(to, "mode");
    let mode = mode.map(|e| to.one_of("`mode`", &e.value, &MODES));
    let on_shutdown = map.optional(to, "on_shutdown");
    let on_shutdown = on_shutdown.map(|e| to.one_of("`on_shutdown`", &e.value, &ON_SHUTDOWN));
    let on_return = map.optional(to, "on_return");
    let on_return = on_return.map(|e| to.one_of("`on_return`", &e.value, &ON_RETURN));
    let looks = map.optional(to, "looks");
    let looks = looks.map(|e| to.integer("`looks`", &e.value, 2, 100));
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    let least = [
        ("every", &mut detector.every, ms(100)),
        ("connect_every", &mut detector.connect_every, ms(100)),
        ("patience", &mut detector.patience, ms(200)),
        ("pause", &mut detector.pause, ms(10)),
        ("silent", &mut detector.silent, s(0)),
        ("hangs", &mut detector.hangs, s(1)),
        ("stalled", &mut detector.stalled, ms(100)),
        ("cooldown", &mut detector.cooldown, s(0)),
    ];
    let mut good = true;
    for (key, field, least) in least {
        good &= time(to, &mut map, key, field, least).is_some();
    }
    let playbook = map.optional(to, "playbook");
    let playbook = playbook.map(|e| words::text(to, "`playbook`", &e.value));
    let params = map.optional(to, "params");
    let params = params.map(|e| params_of(to, &e.value));
    let playbooks = map.optional(to, "playbooks");
    let playbooks = playbooks.map(|e| playbooks_of(to, &e.value));
    map.finish(to);
    if let Some(mode) = mode {
        detector.mode = mode?.value;
    }
    if let Some(on_shutdown) = on_shutdown {
        detector.on_shutdown = on_shutdown?.value;
    }
    if let Some(on_return) = on_return {
        detector.on_return = on_return?.value;
    }
    if let Some(looks) = looks {
        detector.looks = u32::try_from(looks?).unwrap_or(2);
    }
    if let Some(playbook) = playbook {
        detector.playbook = playbook?.value;
    }
    if let Some(params) = params {
        detector.params = params?;
    }
    if let Some(playbooks) = playbooks {
        detector.playbooks = playbooks?;
    }
    if detector.mode == Mode::Approve
        && let Some(unasked) = detector.starts().iter().find(|p| !ASKED_FIRST.contains(p))
    {
        let message = format!("`mode: approve` would start `{unasked}` without a question");
        to.error("bad-value", value.span, message).help = Some(format!(
            "it asks in the place of {}; another playbook asks by a step of its own, with the action `approve`: then say \
             `mode: auto`",
            ASKED_FIRST.map(|p| format!("`{p}`")).join(" and ")
        ));
        return None;
    }
    good.then_some(detector)
}

fn time(
    to: &mut Lowering<'_>,
    map: &mut MapReader<'_>,
    key: &'static str,
    field: &mut Duration,
    least: Duration,
) -> Option<()> {
    let Some(entry) = map.optional(to, key) else {
        return Some(());
    };
    let what = format!("`{key}`");
    let text = words::text(to, &what, &entry.value)?;
    match parse_duration(&text.value) {
        Some(time) if time >= least => {
            *field = time;
            Some(())
        }
        Some(_) => {
            let least = format_duration(least);
            let message = format!("{what} is at least {least}");
            to.error("out-of-range", text.span, message);
            None
        }
        None => {
            let message = format!("{what} is a time with its unit");
            to.error("bad-value", text.span, message).help =
                Some("write it like `500ms`, `2s` or `10m`".to_owned());
            None
        }
    }
}

/// Parameters as the command line would have them.
fn params_of(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<BTreeMap<String, String>> {
    let mut params = BTreeMap::new();
    for entry in to.entries("`params`", value)? {
        let text = match entry.value.value.to_json() {
            Json::String(text) => text,
            other => other.to_string(),
        };
        params.insert(entry.key.value.clone(), text);
    }
    Some(params)
}

/// What is run for which loss. `none` is no playbook.
fn playbooks_of(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
) -> Option<BTreeMap<String, Option<String>>> {
    let mut playbooks = BTreeMap::new();
    let mut good = true;
    for entry in to.entries("`playbooks`", value)? {
        let loss = entry.key.value.as_str();
        if !LOSSES.contains(&loss) {
            let message = format!("`{loss}` is nothing that a watch acts on");
            to.error("unknown-key", entry.key.span, message).help =
                Some(format!("there are: {}", LOSSES.join(", ")));
            good = false;
            continue;
        }
        let Some(text) = words::text(to, &format!("`{loss}`"), &entry.value) else {
            good = false;
            continue;
        };
        let playbook = (text.value != NONE).then_some(text.value);
        playbooks.insert(loss.to_owned(), playbook);
    }
    good.then_some(playbooks)
}

/// What differs from the defaults, as the file has it; none where nothing does.
pub(super) fn written(detector: &Detector) -> Option<Json> {
    let mut map = Map::new();
    let usual = Detector::default();
    let word = |words: &[(&str, Mode)], mode| {
        let found = words.iter().find(|(_, known)| *known == mode);
        found.map_or("", |(word, _)| word).to_owned()
    };
    if detector.mode != usual.mode {
        map.insert("mode".to_owned(), json!(word(&MODES, detector.mode)));
    }
    for (key, own, usual) in [
        ("every", detector.every, usual.every),
        ("connect_every", detector.connect_every, usual.connect_every),
        ("patience", detector.patience, usual.patience),
        ("pause", detector.pause, usual.pause),
        ("silent", detector.silent, usual.silent),
        ("hangs", detector.hangs, usual.hangs),
        ("stalled", detector.stalled, usual.stalled),
        ("cooldown", detector.cooldown, usual.cooldown),
    ] {
        if own != usual {
            map.insert(key.to_owned(), json!(format_duration(own)));
        }
    }
    if detector.looks != usual.looks {
        map.insert("looks".to_owned(), json!(detector.looks));
    }
    if detector.on_shutdown != usual.on_shutdown {
        map.insert("on_shutdown".to_owned(), json!("act"));
    }
    if detector.on_return != usual.on_return {
        map.insert("on_return".to_owned(), json!("rejoin"));
    }
    if detector.playbook != usual.playbook {
        map.insert("playbook".to_owned(), json!(detector.playbook));
    }
    if !detector.params.is_empty() {
        map.insert("params".to_owned(), json!(detector.params));
    }
    if !detector.playbooks.is_empty() {
        let own = detector.playbooks.iter();
        let own: BTreeMap<_, _> = own
            .map(|(loss, playbook)| (loss, playbook.as_deref().unwrap_or(NONE)))
            .collect();
        map.insert("playbooks".to_owned(), json!(own));
    }
    (!map.is_empty()).then_some(Json::Object(map))
}

/// What editors are told of it.
pub(super) fn schema() -> Json {
    let time = |what: &str| json!({ "description": what, "type": "string", "pattern": "^([0-9.]+(d|h|m|s|ms))+$" });
    json!({
        "description": "What `serve` may do by itself about this cluster: a mode, or a map.",
        "oneOf": [
            choice(&MODES, "observe by default: it only tells."),
            {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "mode": choice(&MODES, "observe by default: it only tells. approve: it asks. auto: it acts."),
                    "every": time("Between two looks while all is well; 500ms."),
                    "connect_every": time("Between two new connections to a node while all is well; 10s."),
                    "patience": time("How long an answer may take before it counts as silence; 1s."),
                    "looks": {
                        "description": "How many looks in a row must come to the same.",
                        "type": "integer", "minimum": 2, "maximum": 100, "default": 2
                    },
                    "pause": time("Between two looks at a suspicion; 50ms."),
                    "silent": time("How long nothing must be heard of a primary and of its host; 2s."),
                    "hangs": time("How long a server that is there must do nothing; 30s."),
                    "stalled": time("How long a commit may wait for a standby before that is told; 5s."),
                    "on_return": choice(&ON_RETURN, "What becomes of an old primary that a run has replaced, once its host is there again; alert by default: a person runs `rejoin`."),
                    "on_shutdown": choice(&ON_SHUTDOWN, "What a clean shutdown means; alert by default: an administrator is at work."),
                    "cooldown": time("How long nothing is started by itself after a run; 10m."),
                    "playbook": text("What is run for a primary that is dead; failover by default."),
                    "playbooks": {
                        "description": "What is run in its place for a loss of this name; none: nothing is, it is only told.",
                        "type": "object",
                        "additionalProperties": false,
                        "properties": LOSSES.iter().map(|loss| ((*loss).to_owned(), text("A playbook, or none."))).collect::<Map<String, Json>>()
                    },
                    "params": {
                        "description": "Its parameters.",
                        "type": "object",
                        "additionalProperties": { "type": ["string", "integer", "boolean"] }
                    }
                }
            }
        ]
    })
}
