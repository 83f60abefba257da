//! Prometheus' text format, read strictly.

use std::collections::{BTreeMap, BTreeSet};

/// The samples of any number of processes, added up, by name and labels as they are written.
#[derive(Debug, Default)]
pub struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Adds what one process says, which must be well-formed.
    pub fn add(&mut self, text: &str) {
        let mut types: BTreeMap<String, String> = BTreeMap::new();
        let mut samples: BTreeMap<String, f64> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let (what, rest) = comment.split_once(' ').expect(line);
                let (name, said) = rest.split_once(' ').expect(line);
                if what == "TYPE" {
                    assert!(["counter", "gauge", "histogram"].contains(&said), "{line}");
                    let first = types.insert(name.to_owned(), said.to_owned());
                    assert!(first.is_none(), "two types: {line}");
                } else {
                    assert_eq!(what, "HELP", "{line}");
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect(line);
            assert_eq!(series.contains('{'), series.ends_with('}'), "{line}");
            assert!(types.contains_key(family_of(series, &types)), "no type: {line}");
            let value = value.parse().expect(line);
            assert!(
                samples.insert(series.to_owned(), value).is_none(),
                "twice: {line}"
            );
        }
        assert_histograms_add_up(&samples);
        for (series, value) in samples {
            *self.0.entry(series).or_default() += value;
        }
    }

    /// The value of a series, zero if nobody has it.
    pub fn get(&self, series: &str) -> f64 {
        self.find(series).unwrap_or(0.0)
    }

    /// The value of a series, if somebody has it.
    pub fn find(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// The sum of all series that begin like this.
    pub fn beginning_with(&self, start: &str) -> f64 {
        let found = self.0.iter().filter(|(series, _)| series.starts_with(start));
        found.map(|(_, value)| value).sum()
    }

    /// The sum of all series of a name.
    pub fn family(&self, name: &str) -> f64 {
        self.beginning_with(&format!("{name}{{"))
    }

    /// The values that a label has in the series of a name.
    pub fn label_values(&self, name: &str, label: &str) -> BTreeSet<String> {
        let series = self
            .0
            .keys()
            .filter(|series| series.starts_with(&format!("{name}{{")));
        series
            .filter_map(|series| {
                let (_, rest) = series.split_once(&format!("{label}=\""))?;
                Some(rest.split('"').next()?.to_owned())
            })
            .collect()
    }

    /// Labels are for what has few values: no ids, no addresses.
    pub fn assert_no_ids(&self) {
        for series in self
            .0
            .keys()
            .filter(|series| !series.starts_with("kopeck_build_info"))
        {
            assert!(!series.contains('@'), "{series}");
            let digits = series.split("le=\"").next().unwrap();
            let longest = digits
                .split(|c: char| !c.is_ascii_hexdigit())
                .filter(|run| run.contains(|c: char| c.is_ascii_digit()))
                .map(str::len)
                .max();
            assert!(longest.unwrap_or(0) <= 4, "{series} looks as if it had an id");
        }
    }
}

fn family_of<'s>(series: &'s str, types: &BTreeMap<String, String>) -> &'s str {
    let name = series.split('{').next().unwrap();
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|end| name.strip_suffix(end))
        .find(|name| types.get(*name).is_some_and(|kind| kind == "histogram"))
        .unwrap_or(name)
}

/// The last bucket of a histogram holds all that it has counted.
fn assert_histograms_add_up(samples: &BTreeMap<String, f64>) {
    let mut seen = 0;
    for (series, all) in samples
        .iter()
        .filter(|(series, _)| series.contains("le=\"+Inf\""))
    {
        let count = series.replace("_bucket{", "_count{").replace(",le=\"+Inf\"", "");
        assert_eq!(samples.get(&count), Some(all), "{count}");
        seen += 1;
    }
    assert!(seen > 0, "there are histograms");
}
