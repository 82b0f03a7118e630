//! What may differ by namespace. Set in the settings file alone, for a namespace is named there.

use clap::Args;
use onceward::{Durability, NamespaceConfig, SET_ASIDE_BYTES_MAX};

use crate::quantity::{size, spelt_size};
use crate::serve::data_arguments::Level;

/// Unset ones keep the daemon's figure.
#[derive(Args, Debug)]
#[group(skip)]
pub(crate) struct NamespaceArguments {
    /// Keys held at once; a begin that would add one more is refused (quota) [default: no limit]
    #[arg(long, value_name = "N")]
    entries_max: Option<u64>,
    /// Memory set aside for a result when begin gives no hint [default: that of the daemon] [most:
    /// 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = set_aside)]
    set_aside_bytes: Option<usize>,
    /// How durable an answer is when it is told [default: that of the daemon]
    #[arg(long, value_name = "LEVEL")]
    durability: Option<Level>,
}

impl NamespaceArguments {
    pub(crate) fn config(&self) -> NamespaceConfig {
        NamespaceConfig {
            entries_max: self.entries_max,
            set_aside_bytes: self.set_aside_bytes,
            durability: self.durability.map(Durability::from),
        }
    }
}

fn set_aside(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(size(text)?).unwrap_or(usize::MAX);
    if bytes > SET_ASIDE_BYTES_MAX {
        return Err(format!("write at most {}", spelt_size(SET_ASIDE_BYTES_MAX as u64)));
    }
    Ok(bytes)
}
