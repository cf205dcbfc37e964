//! Merges the run-time configurations of an image's levels into one.

use crate::recipe::LevelDefinition;
use crate::recipe::RuntimeConfig;

/// `PATH` of images unless a level sets it: that of Debian's base system without games.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns the configuration of an image from its levels, root first.
///
/// Maps are merged and the higher level wins; a higher level replaces single values and command lines; ports are
/// collected without repetitions.
#[must_use]
pub fn merged_config(levels: &[LevelDefinition]) -> RuntimeConfig {
    let mut merged = RuntimeConfig::default();
    for level in levels {
        let config = level.config.clone();
        merged.user = config.user.or(merged.user);
        merged.env.extend(config.env);

        // A new entry point makes the arguments of the old one meaningless.
        if config.entrypoint.is_some() {
            merged.entrypoint = config.entrypoint;
            merged.command = None;
        }
        merged.command = config.command.or(merged.command);
        merged.working_directory = config.working_directory.or(merged.working_directory);

        // In the order in which levels name them, so that equal levels always give an equal configuration.
        for port in config.ports {
            if !merged.ports.contains(&port) {
                merged.ports.push(port);
            }
        }

        merged.writable.extend(config.writable);
        merged.stop_signal = config.stop_signal.or(merged.stop_signal);
        merged.labels.extend(config.labels);
    }

    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_levels_win() {
        let level = |entrypoint: Option<&str>, command: Option<&str>, port: &str| LevelDefinition {
            config: RuntimeConfig {
                entrypoint: entrypoint.map(|word| vec![word.to_owned()]),
                command: command.map(|word| vec![word.to_owned()]),
                ports: vec![port.to_owned()],
                env: [("A".to_owned(), port.to_owned())].into(),
                ..RuntimeConfig::default()
            },
            ..LevelDefinition::default()
        };
        let levels =
            [level(Some("a"), Some("b"), "1/tcp"), level(Some("c"), None, "2/tcp"), level(None, None, "1/tcp")];
        let merged = merged_config(&levels);
        assert_eq!(merged.entrypoint, Some(vec!["c".to_owned()]));
        assert_eq!(merged.command, None);
        assert_eq!(merged.ports, ["1/tcp", "2/tcp"]);
        assert_eq!(merged.env["A"], "1/tcp");
    }
}
