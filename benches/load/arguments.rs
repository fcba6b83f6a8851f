//! The words of the command line: `--key value` pairs, then whatever follows `--`.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use crate::Failure;

/// The pairs not taken yet.
pub struct Arguments {
    pairs: BTreeMap<String, String>,
    rest: Vec<String>,
}

impl Arguments {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut pairs = BTreeMap::new();
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            let key = word.strip_prefix("--").ok_or_else(|| format!("{word:?} is not --KEY"))?;
            let value = words.next().ok_or_else(|| format!("--{key} needs a value"))?;
            pairs.insert(key.to_owned(), value);
        }
        Ok(Self { pairs, rest: words.collect() })
    }

    /// What follows `--`.
    pub fn take_rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.rest)
    }

    pub fn optional<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, Failure>
    where
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.pairs.remove(key) else {
            return Ok(None);
        };
        let value = text.parse().map_err(|why| format!("--{key} {text}: {why}"))?;
        Ok(Some(value))
    }

    pub fn required<T: FromStr>(&mut self, key: &str) -> Result<T, Failure>
    where
        T::Err: std::fmt::Display,
    {
        self.optional(key)?.ok_or_else(|| format!("--{key} is missing").into())
    }

    pub fn or<T: FromStr>(&mut self, key: &str, default: T) -> Result<T, Failure>
    where
        T::Err: std::fmt::Display,
    {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// A number of seconds.
    pub fn seconds(&mut self, key: &str, default: f64) -> Result<Duration, Failure> {
        Ok(Duration::try_from_secs_f64(self.or(key, default)?)?)
    }

    /// Refuses the pairs no one has asked for.
    pub fn finish(&mut self) -> Result<(), Failure> {
        match self.pairs.keys().next() {
            Some(key) => Err(format!("--{key} means nothing to this role").into()),
            None => Ok(()),
        }
    }
}
