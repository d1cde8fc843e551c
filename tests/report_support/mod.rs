//! A checker of HTML: every element that is opened is closed, in order, and nothing is half written.

/// Elements that have no end.
const VOID: [&str; 4] = ["meta", "link", "br", "hr"];

/// Whether this is well formed; otherwise what is wrong, with the text around it.
pub(crate) fn well_formed(html: &str) -> Result<(), String> {
    let mut rest = html
        .strip_prefix("<!DOCTYPE html>")
        .ok_or("no document type")?;
    let mut open: Vec<&str> = Vec::new();
    while let Some(at) = rest.find('<') {
        let text = &rest[..at];
        if text.contains('>') {
            return Err(format!("a stray `>` in `{text}`"));
        }
        let (tag, after) = tag(&rest[at + 1..])?;
        rest = after;
        let name = tag.split_whitespace().next().unwrap_or_default();
        if let Some(closed) = tag.strip_prefix('/') {
            let last = open.pop();
            if last != Some(closed) {
                return Err(format!("`</{closed}>` closes {last:?}"));
            }
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
            if name == "style" || name == "script" {
                let end = rest.find("</").ok_or("a style or script without an end")?;
                rest = &rest[end..];
            }
        }
    }
    if rest.contains('>') {
        return Err(format!("a stray `>` in `{rest}`"));
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err(format!("never closed: {open:?}"))
    }
}

/// From behind `<` to before `>`, and what follows; quotes hold anything but markup.
fn tag(text: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '<' => return Err(format!("`<` in a tag: {}", &text[..at])),
            '>' if !quoted => return Ok((&text[..at], &text[at + 1..])),
            '>' => return Err(format!("`>` in quotes: {}", &text[..at])),
            _ => {}
        }
    }
    Err("a tag without an end".to_owned())
}
