//! Results as text.

use std::fmt::{Display, Formatter, Result};

/// One figure, and its comparison.
pub struct Row {
    name: String,
    figure: f64,
    ratio: Option<(f64, &'static str)>,
    bound: Option<f64>,
}

impl Row {
    pub fn new(name: impl Into<String>, figure: f64) -> Row {
        Row { name: name.into(), figure, ratio: None, bound: None }
    }

    /// Adds a ratio, and its terms: "lock / this".
    pub fn ratio(mut self, ratio: f64, of: &'static str) -> Row {
        self.ratio = Some((ratio, of));
        self
    }

    /// Sets the bound of the ratio, or of the figure if there is no ratio.
    pub fn at_most(mut self, bound: impl Into<Option<f64>>) -> Row {
        self.bound = bound.into();
        self
    }

    /// Returns whether the bound is kept, or `None` if there is no bound.
    fn keeps_bound(&self) -> Option<bool> {
        let value = self.ratio.map_or(self.figure, |(ratio, _)| ratio);
        self.bound.map(|bound| value <= bound)
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "  {:<58}{:>9.2}", self.name, self.figure)?;
        match self.ratio {
            Some((ratio, of)) => write!(f, "   {:<14}{ratio:>5.2}", of)?,
            None => write!(f, "   {:19}", "")?,
        }
        if let (Some(bound), Some(kept)) = (self.bound, self.keeps_bound()) {
            write!(f, "   at most {bound:<5.2} {}", if kept { "ok" } else { "MISSED" })?;
        }
        Ok(())
    }
}

/// Rows of one unit.
pub struct Table {
    pub title: String,
    /// The unit of the figures.
    pub unit: &'static str,
    pub rows: Vec<Row>,
}

impl Table {
    /// Returns how many rows have a bound.
    pub fn bounds(&self) -> usize {
        self.rows.iter().filter_map(Row::keeps_bound).count()
    }

    /// Returns how many rows exceed their bound.
    pub fn missed(&self) -> usize {
        self.rows.iter().filter_map(Row::keeps_bound).filter(|kept| !kept).count()
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "{}\n  {:>67}", self.title, self.unit)?;
        for row in &self.rows {
            writeln!(f, "{}", row.to_string().trim_end())?;
        }
        Ok(())
    }
}

/// Returns a count with commas: 1,000,000.
pub fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
    }

    #[test]
    fn a_bound_is_on_the_ratio_if_there_is_one() {
        assert_eq!(Row::new("", 9.0).keeps_bound(), None);
        assert_eq!(Row::new("", 9.0).at_most(9.0).keeps_bound(), Some(true));
        assert_eq!(Row::new("", 9.1).at_most(9.0).keeps_bound(), Some(false));
        assert_eq!(Row::new("", 9.1).ratio(1.0, "a / b").at_most(1.15).keeps_bound(), Some(true));
        assert_eq!(Row::new("", 0.1).ratio(1.16, "a / b").at_most(1.15).keeps_bound(), Some(false));
    }
}
