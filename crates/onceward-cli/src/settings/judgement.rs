//! Whether settings can be used together: everything that can be told without starting anything.

use std::ffi::OsString;
use std::path::Path;

use onceward::Limits;

use super::effective::{Effective, Origin, effective};
use super::file::SettingsFile;
use super::problem::Problem;
use crate::arguments::{self, Cli, Command};
use crate::commands::begin::BeginArguments;
use crate::failure::Failure;
use crate::logging;
use crate::serve;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// For each of these the daemon does not start, or a command refuses to run.
    pub(crate) problems: Vec<Problem>,
    /// What works, and may not be what was meant.
    pub(crate) warnings: Vec<Problem>,
}

/// Judges the file at `path`, if there is one, together with the environment.
pub(crate) fn judge(path: Option<&Path>) -> Judgement {
    let (file, problems) = match path.map(SettingsFile::read) {
        Some((file, problems)) => (Some(file), problems),
        None => (None, Vec::new()),
    };
    let (effective, variables) = effective(file.as_ref(), None);
    let readable = variables.is_empty();
    let mut judging = Judging {
        file: file.as_ref(),
        effective: &effective,
        found: Judgement { problems, warnings: Vec::new() },
    };
    judging.found.problems.extend(variables);
    judging.writable();
    // What a variable spoils is told; what rests on it cannot be judged.
    if readable {
        judging.commands();
    }
    let Judgement { problems, warnings } = judging.found;
    Judgement { problems: in_order(problems), warnings: in_order(warnings) }
}

/// By line, those without one first; what two commands find in one place is told once.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| problem.line);
    problems.dedup_by(|next, last| next.line == last.line && next.message == last.message);
    problems
}

struct Judging<'a> {
    file: Option<&'a SettingsFile>,
    effective: &'a [Effective],
    found: Judgement,
}

impl Judging<'_> {
    /// Who may change the file decides what the daemon does.
    fn writable(&mut self) {
        use std::os::unix::fs::PermissionsExt as _;
        let Some(file) = self.file else { return };
        let mode = std::fs::metadata(&file.path).map(|found| found.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o002 != 0) {
            self.found.warnings.push(Problem {
                file: Some(file.path.clone()),
                ..Problem::new("anybody on this machine may change this file: chmod o-w it")
            });
        }
    }

    /// What the commands themselves say to the values together.
    fn commands(&mut self) {
        let mut limits = Limits::DEFAULT;
        if let Some(Cli { shared, command: Command::Serve(arguments) }) = self.parsed("serve", &[])
        {
            if let Some(filter) = &shared.log
                && let Err(failure) = logging::parse(filter)
            {
                self.problem(None, failure);
            }
            // An embedded store would start with its client.
            if !shared.url().starts_with("mem:")
                && let Err(failure) = shared.client()
            {
                self.problem(None, failure);
            }
            let namespaces = self.file.map(|file| file.namespaces.clone()).unwrap_or_default();
            match arguments.plan(namespaces) {
                Ok(plan) => limits = plan.limits(),
                Err(failures) => {
                    for failure in failures {
                        self.problem(Some("serve"), failure);
                    }
                }
            }
            for (option, message) in arguments.doubts() {
                self.warn("serve", option, message);
            }
        }
        let key = &["--key", "k"];
        if let Some(Cli { command: Command::Begin(arguments), .. }) = self.parsed("begin", key) {
            self.begin(&arguments, &limits);
        }
    }

    fn begin(&mut self, arguments: &BeginArguments, limits: &Limits) {
        let (lease, retention) = arguments.spans();
        // The largest limits that any daemon can have: beyond them no daemon takes it (S6, S20).
        let widest = serve::widest_limits();
        let checks = |limits: &Limits| {
            [
                ("lease", limits.check_lease(lease).err()),
                ("retention", limits.check_retention(retention, lease).err()),
            ]
        };
        for ((option, never), (_, here)) in checks(&widest).into_iter().zip(checks(limits)) {
            if let Some(why) = never {
                self.problem(Some("begin"), Failure::bad_input(option, why.to_string()));
            } else if let Some(why) = here {
                self.warn("begin", option, format!("{why}, says a daemon with this [serve]"));
            }
        }
        if arguments.is_in_doubt() {
            self.warn(
                "begin",
                "policy",
                "in-doubt does not span a restart or a crash of a daemon that keeps everything in memory (durability level memory): the key is absent then, and a retry runs the work again (S14)".to_owned(),
            );
        }
    }

    /// The command as it would be parsed with these settings.
    fn parsed(&self, command: &str, more: &[&str]) -> Option<Cli> {
        let typed =
            ["onceward", command].into_iter().chain(more.iter().copied()).map(OsString::from);
        let typed: Vec<_> = typed.collect();
        // What the parser refuses has been told, value by value.
        arguments::parse(&typed, self.file).ok().map(|(cli, _)| cli)
    }

    fn problem(&mut self, section: Option<&'static str>, failure: Failure) {
        let option = failure.field.as_deref().map(|field| field.replace('_', "-"));
        let problem = self.place(section, option, failure.message);
        self.found.problems.push(problem);
    }

    fn warn(&mut self, section: &'static str, option: &str, message: String) {
        let problem = self.place(Some(section), Some(option.to_owned()), message);
        self.found.warnings.push(problem);
    }

    /// Where the setting was made.
    fn place(
        &self,
        section: Option<&'static str>,
        key: Option<String>,
        message: String,
    ) -> Problem {
        let made = key.as_deref().and_then(|key| {
            self.effective.iter().find(|set| set.section == section && set.name == key)
        });
        let mut problem = Problem::new(message);
        problem.section = section.map(str::to_owned);
        match made {
            Some(Effective { origin: Origin::File, line, .. }) => {
                problem.file = self.file.map(|file| file.path.clone());
                problem.line = *line;
            }
            Some(Effective { origin: Origin::Environment, variable, .. }) => {
                problem.message = format!("{variable}: {}", problem.message);
            }
            Some(_) | None => {}
        }
        problem.key = key;
        problem
    }
}
