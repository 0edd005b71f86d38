//! The `tojson` filter of Transformers' chat templates: Python's `json.dumps`
//! with `ensure_ascii=False`, keys in their own order.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::budget::Budget;
use super::python::{self, Text};

/// Deeper indentation helps nobody and costs memory.
const MAX_INDENT: usize = 16;

struct Style {
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<usize>,
    item: String,
    key: String,
}

pub fn tojson(budget: &Budget, value: &Value, options: Kwargs) -> Result<Value, Error> {
    let style = style(&options)?;
    options.assert_all_used()?;
    budget.weigh(value)?;
    let mut out = Text::new(budget);
    write(&mut out, value, &style, 0)?;
    Ok(Value::from(out.text))
}

fn style(options: &Kwargs) -> Result<Style, Error> {
    let flag = |name: &str| Ok::<_, Error>(options.get::<Option<bool>>(name)?.unwrap_or(false));
    let indent = options.get::<Option<usize>>("indent")?;
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "tojson: separators must be two texts",
            ));
        }
        None => (
            (if indent.is_some() { "," } else { ", " }).to_string(),
            ": ".to_string(),
        ),
    };
    Ok(Style {
        ensure_ascii: flag("ensure_ascii")?,
        sort_keys: flag("sort_keys")?,
        indent: indent.map(|n| n.min(MAX_INDENT)),
        item,
        key,
    })
}

fn write(out: &mut Text, value: &Value, style: &Style, depth: usize) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => out.push("null"),
        ValueKind::Bool => out.push(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => write_number(out, value),
        ValueKind::String => write_string(out, value.as_str().unwrap_or_default(), style),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            write_items(out, ("[", "]"), items.len(), style, depth, |out, i| {
                write(out, &items[i], style, depth + 1)
            })
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort_keys {
                keys.sort();
            }
            write_items(out, ("{", "}"), keys.len(), style, depth, |out, i| {
                let key = &keys[i];
                write_string(
                    out,
                    python::text(out.budget(), key)?.as_str().unwrap_or(""),
                    style,
                )?;
                out.push(&style.key)?;
                write(out, &value.get_item(key)?, style, depth + 1)
            })
        }
        kind => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("tojson: a value of type {kind} has no JSON form"),
        )),
    }
}

fn write_items(
    out: &mut Text,
    (open, close): (&str, &str),
    count: usize,
    style: &Style,
    depth: usize,
    mut item: impl FnMut(&mut Text, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = |out: &mut Text, depth: usize| match style.indent {
        Some(width) if count > 0 => out.push(&format!("\n{}", " ".repeat(width * depth))),
        _ => Ok(()),
    };
    out.push(open)?;
    for i in 0..count {
        if i > 0 {
            out.push(&style.item)?;
        }
        line(out, depth + 1)?;
        item(out, i)?;
    }
    line(out, depth)?;
    out.push(close)
}

fn write_number(out: &mut Text, value: &Value) -> Result<(), Error> {
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => out.push("NaN"),
        Ok(number) if number.is_infinite() && !value.is_integer() => out.push(if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }),
        _ => python::write_number(out, value),
    }
}

fn write_string(out: &mut Text, text: &str, style: &Style) -> Result<(), Error> {
    let mut escaped = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            c if c < ' ' || (style.ensure_ascii && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => escaped.push(c),
        }
        if escaped.len() > 4096 {
            out.push(&escaped)?;
            escaped.clear();
        }
    }
    escaped.push('"');
    out.push(&escaped)
}
