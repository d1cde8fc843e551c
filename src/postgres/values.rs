//! Answers of the site's own statements, as JSON.

use super::wire::Answer;
use serde_json::{Map, Value, json};

/// `{rows, count}`: rows as objects, and how many were returned or changed.
pub(crate) fn to_json(answer: &Answer) -> Value {
    let rows: Vec<Value> = answer
        .rows
        .iter()
        .map(|row| {
            let fields = answer.columns.iter().zip(row).map(|(column, text)| {
                let value = text
                    .as_deref()
                    .map_or(Value::Null, |text| typed(column.kind, text));
                (column.name.clone(), value)
            });
            Value::Object(fields.collect::<Map<_, _>>())
        })
        .collect();
    let changed = answer
        .tag
        .rsplit(' ')
        .next()
        .and_then(|word| word.parse::<u64>().ok());
    json!({ "rows": rows, "count": changed.unwrap_or(answer.count) })
}

/// The types that JSON has too; everything else stays the text that the server wrote.
fn typed(kind: u32, text: &str) -> Value {
    let as_text = || Value::String(text.to_owned());
    match kind {
        // bool
        16 => Value::Bool(text == "t"),
        // int8, int2, int4, oid
        20 | 21 | 23 | 26 => text.parse::<i64>().map_or_else(|_| as_text(), Value::from),
        // float4, float8; JSON has no NaN
        700 | 701 => text.parse::<f64>().map_or_else(
            |_| as_text(),
            |number| {
                if number.is_finite() {
                    Value::from(number)
                } else {
                    as_text()
                }
            },
        ),
        // json, jsonb
        114 | 3802 => serde_json::from_str(text).unwrap_or_else(|_| as_text()),
        _ => as_text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::wire::Column;

    #[test]
    fn types_that_json_has_become_values_and_the_rest_stays_text() {
        let cases = [
            (16, Some("t"), json!(true)),
            (
                20,
                Some("9007199254740993"),
                json!(9_007_199_254_740_993_i64),
            ),
            (701, Some("1.5"), json!(1.5)),
            (701, Some("NaN"), json!("NaN")),
            (3802, Some(r#"{"a": [1]}"#), json!({"a": [1]})),
            (3220, Some("0/16B3748"), json!("0/16B3748")),
            (1700, Some("1.10"), json!("1.10")),
            (25, None, Value::Null),
        ];
        for (kind, text, expected) in cases {
            let answer = Answer {
                columns: vec![Column {
                    name: "c".into(),
                    kind,
                }],
                rows: vec![vec![text.map(str::to_owned)]],
                count: 1,
                tag: "SELECT 1".into(),
            };
            assert_eq!(
                to_json(&answer),
                json!({"rows": [{"c": expected}], "count": 1})
            );
        }
        let update = Answer {
            tag: "UPDATE 3".into(),
            ..Answer::default()
        };
        assert_eq!(to_json(&update), json!({"rows": [], "count": 3}));
    }
}
