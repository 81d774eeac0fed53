//! Prometheus' text format, version 0.0.4.
//!
//! It is a page of writing, and written here: `prometheus-client` has `OpenMetrics`, whose counters are not named as their family, which
//! `promtool check metrics` takes for a family without help; `prometheus` copies all it counts into objects for each scrape.

use std::fmt::{Display, Write as _};

use crate::log::Timings;

/// What such a page is.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page being written. Names and labels are words of ours that need no escapes.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

/// Values of one name.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl Page {
    /// What only grows. Its name ends with `_total`.
    pub(crate) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// What is now.
    pub(crate) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// How long something took.
    pub(crate) fn times(&mut self, name: &'static str, help: &str, times: &Timings) {
        let Family { page, .. } = self.family(name, "histogram", help);
        let (buckets, sum) = times.get();
        let mut count = 0;
        for (most, among) in buckets {
            count += among;
            let most = most.map_or_else(|| "+Inf".to_owned(), |most| most.to_string());
            // A string takes what is written into it.
            writeln!(page, "{name}_bucket{{le=\"{most}\"}} {count}").ok();
        }
        let sum = sum.as_secs_f64();
        write!(page, "{name}_sum {sum}\n{name}_count {count}\n").ok();
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        // A string takes what is written into it.
        write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n").ok();
        Family {
            page: &mut self.0,
            name,
        }
    }
}

impl Family<'_> {
    pub(crate) fn is(mut self, value: impl Display) {
        self.line(None, &value);
    }

    /// Each value with what tells it from the others.
    pub(crate) fn each<L: Display, V: Display>(
        mut self,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        for (is, value) in values {
            self.line(Some((label, &is)), &value);
        }
    }

    fn line(&mut self, label: Option<(&str, &dyn Display)>, value: &dyn Display) {
        let name = self.name;
        match label {
            Some((label, is)) => writeln!(self.page, "{name}{{{label}=\"{is}\"}} {value}"),
            None => writeln!(self.page, "{name} {value}"),
        }
        .ok();
    }
}
