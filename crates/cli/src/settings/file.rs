//! Settings by a file, in TOML.

use std::{ffi::OsString, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Key, Kind, Mistake, Origin, Settings, key};
use crate::{exit::Failure, listen};

/// Takes over what a file says.
///
/// # Errors
///
/// It can't be read.
pub(super) fn read(
    path: &Path,
    keys: &[Key],
    settings: &mut Settings,
    mistakes: &mut Vec<Mistake>,
) -> Result<(), Failure> {
    let bytes = listen::read(path)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        mistakes.push(Mistake::new(path.display(), "not UTF-8"));
        return Ok(());
    };
    let mut file = File {
        path,
        text,
        keys,
        settings,
        mistakes,
    };
    file.read();
    Ok(())
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    keys: &'a [Key],
    settings: &'a mut Settings,
    mistakes: &'a mut Vec<Mistake>,
}

impl File<'_> {
    fn read(&mut self) {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            self.wrong(at, format!("this is not TOML: {}", error.message()));
        }
        if errors.is_empty() {
            self.table("", table.get_ref());
        }
    }

    /// Takes over a section, whose name with a dot is `prefix`.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let section = format!("{name}.");
            let known = self.keys.iter().find(|key| key.name == name);
            match (known, value.get_ref()) {
                (Some(known), _) => self.setting(known, value),
                (None, DeValue::Table(inner)) if self.has_section(&section) => {
                    self.table(&section, inner);
                }
                (None, DeValue::Table(_)) => {
                    let similar = key::similar_section(self.keys, &name);
                    self.unknown(key.span().start, &name, similar);
                }
                (None, _) => {
                    let similar = key::similar(self.keys, &name);
                    self.unknown(key.span().start, &name, similar);
                }
            }
        }
    }

    fn has_section(&self, prefix: &str) -> bool {
        self.keys.iter().any(|key| key.name.starts_with(prefix))
    }

    fn setting(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) {
        let at = value.span().start;
        match values(key.kind, value.get_ref()) {
            Ok(values) => {
                let origin = Origin::File {
                    path: self.path.to_owned(),
                    line: self.line(at),
                };
                self.settings.set(key, values, origin);
            }
            Err(text) => self.wrong(at, format!("{} {text}", key.name)),
        }
    }

    fn unknown(&mut self, at: usize, name: &str, similar: Option<&str>) {
        let help = match similar {
            Some(similar) => format!("did you mean {similar}?"),
            None => "see fdx config doc".to_owned(),
        };
        self.wrong(at, format!("no setting is named {name}; {help}"));
    }

    fn wrong(&mut self, at: usize, text: String) {
        let line = self.line(at);
        self.mistakes.push(Mistake::in_file(self.path, line, text));
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        before.filter(|&&byte| byte == b'\n').count() + 1
    }
}

fn values(kind: Kind, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    match (kind, value) {
        (Kind::Switch | Kind::OneOrSwitch, DeValue::Boolean(yes)) => {
            Ok(vec![yes.to_string().into()])
        }
        (Kind::Switch, other) => Err(format!("is true or false, and not {}", name_of(other))),
        (Kind::List, DeValue::Array(items)) => {
            items.iter().map(|item| scalar(item.get_ref())).collect()
        }
        (_, value) => scalar(value).map(|value| vec![value]),
    }
}

/// One value, as it would be written on the command line.
fn scalar(value: &DeValue<'_>) -> Result<OsString, String> {
    match value {
        DeValue::String(text) => Ok(text.as_ref().into()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string().into())
            .map_err(|_| "is a number beyond all bounds".to_owned()),
        DeValue::Float(number) => Ok(number.as_str().into()),
        other => Err(format!("can't be {}", name_of(other))),
    }
}

fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
