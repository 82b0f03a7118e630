//! What outlives the daemon's process, and how surely.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use onceward::{Durability, Millis, NamespaceConfig};
use onceward_journal::{FILE_BYTES_MAX, FILE_BYTES_MIN, JournalOptions};

use crate::failure::Failure;
use crate::quantity::{duration, size, spelt, spelt_size};

const INTERVAL_MIN: Duration = Duration::from_millis(10);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The longest retention that any daemon can have.
const COUNT_DOWNTIME_MAX: Duration = Duration::from_secs(400 * 24 * 3_600);
const UNSYNCED_BYTES_MIN: u64 = 1 << 20;
const UNSYNCED_BYTES_MAX: u64 = 1 << 30;

/// How durable an answer is when it is told (S14).
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Level {
    /// Nothing is written: a restart forgets it
    Memory,
    /// Synced within --interval; a crash of the machine may lose what is younger
    Interval,
    /// Synced before the answer is told
    Always,
}

impl From<Level> for Durability {
    fn from(level: Level) -> Self {
        match level {
            Level::Memory => Self::Memory,
            Level::Interval => Self::Interval,
            Level::Always => Self::Always,
        }
    }
}

/// Unset ones keep their default.
#[derive(Args, Debug)]
#[group(skip)]
pub(crate) struct DataArguments {
    /// Keep a journal in this directory, so that what was stored is there again after a restart; one
    /// daemon at a time has it, and it is made if it is not there. Without it a restart forgets
    /// everything
    #[arg(long, env = "ONCEWARD_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How durable an answer is when it is told; a namespace may have a level of its own [default:
    /// interval with --data-dir, else memory]
    #[arg(long, env = "ONCEWARD_DURABILITY", value_name = "LEVEL")]
    durability: Option<Level>,
    /// At level interval, how old a change may get before it is synced; while the disk is slower than
    /// that, answers wait for it [default: 1s] [least: 10ms] [most: 1m]
    #[arg(long, env = "ONCEWARD_INTERVAL", value_name = "TIME", value_parser = duration)]
    interval: Option<Duration>,
    /// How much of the time that the machine was down counts for leases and retentions, by the wall
    /// clock; none, and keys are kept longer instead [default: 0s] [most: 400d]
    #[arg(long, env = "ONCEWARD_COUNT_DOWNTIME", value_name = "TIME", value_parser = duration)]
    count_downtime: Option<Duration>,
    /// Size of a journal file; recovery reads one into memory per thread [default: 64MiB] [least:
    /// 64KiB] [most: 1GiB]
    #[arg(long, env = "ONCEWARD_JOURNAL_FILE_BYTES", value_name = "SIZE", value_parser = size)]
    journal_file_bytes: Option<u64>,
    /// Changes in memory that are not synced, above which a sync begins at once; at twice that, what
    /// would add to them is unavailable until it has ended [default: 64MiB] [least: 1MiB] [most: 1GiB]
    #[arg(long, env = "ONCEWARD_UNSYNCED_BYTES_MAX", value_name = "SIZE", value_parser = size)]
    unsynced_bytes_max: Option<u64>,
}

/// A data directory as it is to be opened.
#[derive(Clone, Debug)]
pub(crate) struct DataPlan {
    pub(crate) directory: PathBuf,
    pub(crate) options: JournalOptions,
    pub(crate) count_downtime: Millis,
}

impl DataArguments {
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// The level of every namespace that states none.
    pub(crate) fn durability(&self) -> Durability {
        let unset = self.directory().map_or(Durability::Memory, |_| Durability::Interval);
        self.durability.map_or(unset, Durability::from)
    }

    /// The directory to open, if there is one, and everything that is wrong.
    pub(crate) fn plan(
        &self,
        namespaces: &BTreeMap<String, NamespaceConfig>,
    ) -> (Option<DataPlan>, Vec<Failure>) {
        let mut failures = Vec::new();
        let default = JournalOptions::default();
        let mut time = |name, given: Option<Duration>, default: Millis, min, max| match given {
            Some(given) if given < min || given > max => {
                let (got, min, max) = (spelt(given), spelt(min), spelt(max));
                let message = format!("{name} is {got}: give {min} to {max}");
                failures.push(Failure::bad_input(name, message));
                default
            }
            given => given.map_or(default, Millis::covering),
        };
        let interval =
            time("interval", self.interval, default.interval, INTERVAL_MIN, INTERVAL_MAX);
        let none = Duration::ZERO;
        let count_downtime =
            time("count_downtime", self.count_downtime, Millis::ZERO, none, COUNT_DOWNTIME_MAX);
        let mut size = |name, given: Option<u64>, default, min, max| match given {
            Some(given) if given < min || given > max => {
                let (got, min, max) = (spelt_size(given), spelt_size(min), spelt_size(max));
                let message = format!("{name} is {got}: give {min} to {max}");
                failures.push(Failure::bad_input(name, message));
                default
            }
            given => given.unwrap_or(default),
        };
        let file_bytes = size(
            "journal_file_bytes",
            self.journal_file_bytes,
            default.file_bytes,
            FILE_BYTES_MIN,
            FILE_BYTES_MAX,
        );
        let unsynced_bytes_max = size(
            "unsynced_bytes_max",
            self.unsynced_bytes_max,
            default.unsynced_bytes_max,
            UNSYNCED_BYTES_MIN,
            UNSYNCED_BYTES_MAX,
        );
        let Some(directory) = self.directory() else {
            failures.extend(self.without_directory(namespaces));
            return (None, failures);
        };
        let options = JournalOptions { interval, file_bytes, unsynced_bytes_max };
        (Some(DataPlan { directory: directory.to_owned(), options, count_downtime }), failures)
    }

    /// Promises that nothing could keep.
    fn without_directory(&self, namespaces: &BTreeMap<String, NamespaceConfig>) -> Vec<Failure> {
        let refused = |whose: &str, level: Durability| {
            let message = format!(
                "{whose} is {}, and there is no data directory to keep anything in: give --data-dir, or take memory",
                level.name()
            );
            Failure::bad_input("durability", message)
        };
        let own = Some(self.durability()).filter(|level| *level != Durability::Memory);
        let named = namespaces.iter().filter_map(|(name, config)| {
            let level = config.durability.filter(|level| *level != Durability::Memory)?;
            Some(refused(&format!("durability of namespace {name}"), level))
        });
        own.map(|level| refused("durability", level)).into_iter().chain(named).collect()
    }

    /// What would work, and may not be what was meant.
    pub(crate) fn doubts(&self) -> Vec<(&'static str, String)> {
        if self.directory().is_some() {
            return Vec::new();
        }
        let options = [
            ("interval", self.interval.is_some()),
            ("count-downtime", self.count_downtime.is_some()),
            ("journal-file-bytes", self.journal_file_bytes.is_some()),
            ("unsynced-bytes-max", self.unsynced_bytes_max.is_some()),
        ];
        let set = options.into_iter().filter(|(_, set)| *set);
        set.map(|(option, _)| (option, "it means nothing without data-dir".to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        data: DataArguments,
    }

    fn parsed(arguments: &[&str]) -> DataArguments {
        Alone::parse_from(["serve"].iter().chain(arguments)).data
    }

    /// Help states the defaults in words, for options that are not set stay unset. Typed, they must
    /// change nothing.
    #[test]
    fn help_tells_the_defaults_of_the_code_s20() {
        let command = Alone::command();
        let told = command.get_arguments().filter_map(|argument| {
            let help = argument.get_help()?.to_string();
            let default = help.split_once("[default: ")?.1.split_once(']')?.0.to_owned();
            Some((format!("--{}", argument.get_long()?), default))
        });
        let told: Vec<_> = told.filter(|(_, default)| !default.contains(' ')).collect();
        assert_eq!(told.len(), 4, "{told:?}");
        let help = Alone::command().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let (least, most) = (spelt_size(FILE_BYTES_MIN), spelt_size(FILE_BYTES_MAX));
        assert!(help.contains(&format!("[least: {least}] [most: {most}]")), "{help}");
        let shown = |more: &[&str]| {
            let (plan, failures) =
                parsed(&[&["--data-dir", "/d"], more].concat()).plan(&BTreeMap::new());
            assert!(failures.is_empty(), "{more:?}: {}", Failure::all(failures));
            format!("{plan:?}")
        };
        for (option, default) in &told {
            assert_eq!(shown(&[option, default]), shown(&[]), "{option}");
        }
    }

    #[test]
    fn a_level_that_nothing_could_keep_is_refused_s14() {
        let namespaces = |level| {
            let config = NamespaceConfig { durability: Some(level), ..NamespaceConfig::default() };
            BTreeMap::from([("orders".to_owned(), config)])
        };
        let (memory, always) = (namespaces(Durability::Memory), namespaces(Durability::Always));
        let none = BTreeMap::new();
        #[rustfmt::skip]
        let cases: [(&[&str], _, usize); 8] = [
            (&[], &none, 0),
            (&["--durability", "memory"], &none, 0),
            (&["--durability", "interval"], &none, 1),
            (&["--durability", "always"], &always, 2),
            (&[], &always, 1),
            (&[], &memory, 0),
            (&["--data-dir", "/d", "--durability", "always"], &always, 0),
            (&["--data-dir", "/d", "--interval", "9ms", "--journal-file-bytes", "1KiB"], &none, 2),
        ];
        for (arguments, namespaces, faults) in cases {
            let (_, failures) = parsed(arguments).plan(namespaces);
            assert_eq!(failures.len(), faults, "{arguments:?}: {}", Failure::all(failures));
        }
    }

    #[test]
    fn the_level_without_a_word_s14() {
        assert_eq!(parsed(&[]).durability(), Durability::Memory);
        assert_eq!(parsed(&["--data-dir", "/d"]).durability(), Durability::Interval);
        let said = parsed(&["--data-dir", "/d", "--durability", "always"]);
        assert_eq!(said.durability(), Durability::Always);
    }
}
