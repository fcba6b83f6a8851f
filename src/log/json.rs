//! Writing JSON (RFC 8259).

use std::fmt;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number; what JSON has no word for (infinities) is `null`.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object; names keep their order.
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An array.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(items.into_iter().collect())
    }

    /// An object.
    pub fn object(fields: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        Self::Object(fields.into_iter().collect())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) if number.is_finite() => write!(f, "{number}"),
            Self::Null | Self::Number(_) => f.write_str("null"),
            Self::Bool(on) => write!(f, "{on}"),
            Self::Text(text) => string(f, text),
            Self::List(items) => joined(f, ['[', ']'], items, |f, item| write!(f, "{item}")),
            Self::Object(fields) => joined(f, ['{', '}'], fields, |f, (name, value)| {
                string(f, name)?;
                write!(f, ":{value}")
            }),
        }
    }
}

fn joined<T>(
    f: &mut fmt::Formatter<'_>,
    brackets: [char; 2],
    items: &[T],
    one: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{}", brackets[0])?;
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            f.write_str(",")?;
        }
        one(f, item)?;
    }
    write!(f, "{}", brackets[1])
}

/// Section 7 of the RFC: quotation mark, backslash and control characters must be escaped.
fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_type_are_written() {
        let value = Json::object([
            ("none", Json::Null),
            ("on", Json::Bool(true)),
            ("half", Json::Number(0.5)),
            ("whole", Json::Number(8192.0)),
            ("never", Json::Number(f64::INFINITY)),
            ("text", Json::text("a\"b\\c\n\u{1}ä")),
            ("list", Json::list([Json::list([]), Json::object([])])),
        ]);
        assert_eq!(
            value.to_string(),
            r#"{"none":null,"on":true,"half":0.5,"whole":8192,"never":null,"text":"a\"b\\c\n\u0001ä","list":[[],{}]}"#
        );
    }
}
