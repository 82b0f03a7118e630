//! What becomes of a document: tables on the terminal, files where they are asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use console::Term;
use onceward_bench::engine::Fault;
use onceward_bench::load::record::Document;
use onceward_bench::load::report::{compare, hdr_logs, html, read, table, write};

use super::verdict;

/// Where it goes besides the terminal.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct OutputArgs {
    /// Writes everything that was found
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes one page with tables and plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes an HdrHistogram log for each series into this folder
    #[arg(long, value_name = "FOLDER")]
    hdr: Option<PathBuf>,
    /// Shows what changed since an earlier run, of which this is what --json wrote
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

impl OutputArgs {
    /// What an earlier run found, if it is to be compared with. Read before measuring: a wrong name
    /// is said at once.
    ///
    /// # Errors
    /// The file cannot be read, or is no document.
    pub fn before(&self) -> Result<Option<Document>, Fault> {
        let Some(path) = &self.compare else { return Ok(None) };
        let text = fs::read_to_string(path).map_err(|error| at(path, error))?;
        Ok(Some(read(&text).map_err(|error| at(path, error))?))
    }

    /// Shows and writes a document. A failure if it is worthless, but only after all is written.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn show(&self, document: &Document, before: Option<&Document>) -> Result<ExitCode, Fault> {
        let width = Term::stdout().size_checked().map(|(_, width)| width);
        print!("{}", table(document, width));
        let changes = before.map(|before| compare(before, document));
        if let Some(changes) = &changes {
            print!("\n{}", changes.table(width));
        }
        if let Some(path) = &self.json {
            fs::write(path, write(document)?).map_err(|error| at(path, error))?;
        }
        if let Some(path) = &self.html {
            fs::write(path, html(document, changes.as_ref())).map_err(|error| at(path, error))?;
        }
        if let Some(folder) = &self.hdr {
            fs::create_dir_all(folder).map_err(|error| at(folder, error))?;
            for (name, log) in hdr_logs(document)? {
                let path = folder.join(name);
                fs::write(&path, log).map_err(|error| at(&path, error))?;
            }
        }
        let faults = verdict::faults(document);
        for fault in &faults {
            eprintln!("FAILED: {fault}");
        }
        Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn at(path: &Path, error: impl std::fmt::Display) -> Fault {
    format!("{}: {error}", path.display()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_bench::load::record::Series;

    #[test]
    fn all_is_written_even_of_a_document_that_is_worthless() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| Some(folder.path().join(name));
        let output = OutputArgs {
            json: file("a.json"),
            html: file("a.html"),
            hdr: file("hdr"),
            compare: None,
        };
        let empty = Document::default();
        let shown = output.show(&empty, None).unwrap();
        assert_eq!(format!("{shown:?}"), format!("{:?}", ExitCode::SUCCESS));

        let again = OutputArgs { compare: file("a.json"), ..output };
        let before = again.before().unwrap();
        assert!(before.is_some());
        let worthless = Document { series: vec![Series::default()], ..Document::default() };
        let shown = again.show(&worthless, before.as_ref()).unwrap();
        assert_eq!(format!("{shown:?}"), format!("{:?}", ExitCode::FAILURE));
        assert!(fs::read_to_string(folder.path().join("a.html")).unwrap().contains("<html"));
        assert!(folder.path().join("hdr").is_dir());

        fs::write(folder.path().join("a.json"), "{}").unwrap();
        assert!(again.before().unwrap_err().to_string().contains("a.json"));
    }
}
