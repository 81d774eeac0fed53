//! What one run found, as JSON: numbers by name.

use std::fmt;

pub(crate) struct Report(pub(crate) Vec<(&'static str, f64)>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}\"{name}\": {value}")?;
        }
        f.write_str("}")
    }
}
