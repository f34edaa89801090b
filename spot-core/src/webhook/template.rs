//! A receiver's own JSON with our values in it. Pure.
//!
//! A template is a JSON document. In its strings `{{ notice.kind }}` stands for a field of the
//! [message](super::message); a string that is nothing but one such place becomes the field's own
//! value, be it a number, an object or `null`. What is not known is empty text. So whatever the
//! values hold, what is sent is JSON.

use serde_json::Value;

use super::message::Message;

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It is no JSON.
    #[error("the template is no JSON, at line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// It names something that a message does not have.
    #[error("the template names {field:?}, which no message has")]
    UnknownField {
        /// The name.
        field: String,
    },
    /// A place is opened and not closed.
    #[error("the template opens a place with {{{{ and does not close it")]
    Unclosed,
}

/// What is sent. The default is the message as it is.
///
/// ```
/// use spot_core::webhook::template::Template;
/// let slack: Template = r#"{"text": "*{{ node }}*: {{ text }}"}"#.parse()?;
/// assert!(r#"{"text": "{{ nod }}"}"#.parse::<Template>().is_err());
/// # Ok::<(), spot_core::webhook::template::TemplateError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Template(Option<Value>);

impl std::str::FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value: Value = serde_json::from_str(text).map_err(|e| TemplateError::NotJson {
            line: e.line(),
            column: e.column(),
        })?;
        fill(&value, &Message::fields())?;
        Ok(Self(Some(value)))
    }
}

impl Template {
    /// The body that tells `message`.
    pub fn render(&self, message: &Message) -> String {
        let filled = self.0.as_ref().map(|value| fill(value, message.json()));
        match filled {
            // It was tried on a message when it was read.
            Some(Ok(value)) => value.to_string(),
            Some(Err(_)) | None => message.json().to_string(),
        }
    }
}

fn fill(value: &Value, fields: &Value) -> Result<Value, TemplateError> {
    Ok(match value {
        Value::String(text) => fill_text(text, fields)?,
        Value::Array(items) => {
            let items = items.iter().map(|item| fill(item, fields));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| Ok((key.clone(), fill(value, fields)?)));
            Value::Object(members.collect::<Result<_, TemplateError>>()?)
        }
        other => other.clone(),
    })
}

fn fill_text(text: &str, fields: &Value) -> Result<Value, TemplateError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
        let field = find(fields, name.trim())?;
        if before.is_empty() && after.is_empty() && out.is_empty() {
            return Ok(field.clone());
        }
        out += before;
        match field {
            Value::Null => {}
            Value::String(text) => out += text,
            other => out += &other.to_string(),
        }
        rest = after;
    }
    out += rest;
    Ok(Value::String(out))
}

/// The field of a dotted name. What one outcome has and another has not is empty.
fn find<'a>(fields: &'a Value, name: &str) -> Result<&'a Value, TemplateError> {
    let mut at = fields;
    for step in name.split('.') {
        let Some(next) = at.get(step) else {
            if name.starts_with("drain.pods.") {
                return Ok(&Value::Null);
            }
            let field = name.to_owned();
            return Err(TemplateError::UnknownField { field });
        };
        at = next;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn filled(template: &Value, fields: &Value) -> Value {
        fill(template, fields).unwrap()
    }

    #[test]
    fn a_place_alone_becomes_the_value_and_one_in_text_becomes_text() {
        let fields = json!({"node": "n", "drain": {"pods": {"gone": 3}, "outcome": null}});
        let template = json!({
            "text": "on {{ node }}: {{drain.pods.gone}} gone, {{ drain.outcome }}.",
            "pods": "{{ drain.pods }}", "none": "{{ drain.outcome }}", "kept": [1, true],
            "lost": "{{ drain.pods.blocked }}",
        });
        let expected = json!({
            "text": "on n: 3 gone, .", "pods": {"gone": 3}, "none": null, "kept": [1, true],
            "lost": null,
        });
        assert_eq!(filled(&template, &fields), expected);
    }

    #[test]
    fn what_cannot_be_used_is_refused_when_it_is_read() {
        let error = |text: &str| text.parse::<Template>().unwrap_err().to_string();
        assert_eq!(
            error("{\n  x"),
            "the template is no JSON, at line 2, column 3"
        );
        assert!(error(r#"["{{ notice.colour }}"]"#).contains("notice.colour"));
        assert!(error(r#"["{{ node"]"#).contains("does not close"));
    }

    proptest! {
        #[test]
        fn whatever_a_value_holds_what_is_sent_is_json(node in ".*", text in ".*") {
            let fields = json!({"node": node, "text": text});
            let template = json!({"a": "x {{ node }} {{ text }} y", "b": "{{ text }}"});
            let body = filled(&template, &fields).to_string();
            let read: Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(&read["a"], &json!(format!("x {node} {text} y")));
            prop_assert_eq!(&read["b"], &json!(text));
        }
    }
}
