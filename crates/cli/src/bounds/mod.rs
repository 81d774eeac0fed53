//! Limits and waits of the hub as flags, from one table each.
//!
//! They are many and seldom needed, so `--help` leaves them to `fdx config doc`.

mod limits;
mod rates;
mod timeouts;
mod value;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, error::ErrorKind};
use fullduplex_hub::{Limits, Timeouts};

use self::value::Slot;
use crate::exit::Failure;

/// One bound.
struct Row<T> {
    /// As a flag without hyphens: the section, a dot, the field.
    name: &'static str,
    /// What it is for, and why it is so by default.
    about: &'static str,
    /// Where it is.
    slot: fn(&mut T) -> Slot<'_>,
}

/// Bounds that have a table.
trait Table: Default + 'static {
    const HEADING: &'static str;
    const ROWS: &'static [Row<Self>];
}

/// All bounds of a kind, each by default or as a flag says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds<T>(pub(crate) T);

impl<T: Table> Args for Bounds<T> {
    fn augment_args(mut command: Command) -> Command {
        let mut defaults = T::default();
        for row in T::ROWS {
            let slot = (row.slot)(&mut defaults);
            let (unit, default) = (slot.unit(), slot.to_string());
            let parse = move |text: &str| -> Result<String, String> {
                (row.slot)(&mut T::default()).set(text)?;
                Ok(text.to_owned())
            };
            command = command.arg(
                Arg::new(row.name)
                    .long(row.name)
                    .help(row.about)
                    .help_heading(T::HEADING)
                    .value_name(unit)
                    .default_value(default)
                    .value_parser(parse)
                    .hide(true),
            );
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Table> FromArgMatches for Bounds<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut bounds = Self(T::default());
        bounds.update_from_arg_matches(matches)?;
        Ok(bounds)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for row in T::ROWS {
            if let Some(text) = matches.get_one::<String>(row.name) {
                (row.slot)(&mut self.0)
                    .set(text)
                    .map_err(|why| clap::Error::raw(ErrorKind::ValueValidation, why))?;
            }
        }
        Ok(())
    }
}

/// Refuses bounds that make each other useless.
pub(crate) fn check(limits: &Limits, timeouts: &Timeouts) -> Result<(), Failure> {
    let is_all = |part: Option<usize>, all| part.is_some_and(|part| part >= all);
    let contradictions = [
        (
            is_all(limits.unauthenticated, limits.connections),
            "--limits.unauthenticated must be less than --limits.connections, or who has no token can hold them all",
        ),
        (
            is_all(
                limits.unauthenticated_per_address,
                limits.connections_per_address,
            ),
            "--limits.unauthenticated-per-address must be less than --limits.connections-per-address",
        ),
        (
            is_all(limits.followers, limits.connections),
            "--limits.followers must be less than --limits.connections, or they shut out WebSockets",
        ),
        (
            limits.body > limits.frame,
            "--limits.frame must be at least --limits.body, or no such body ever arrives",
        ),
        (
            limits.ring_bytes > limits.total_ring_bytes,
            "--limits.total-ring-bytes must be at least --limits.ring-bytes",
        ),
        (
            timeouts.close >= timeouts.shutdown,
            "--timeouts.shutdown must be longer than --timeouts.close, or nobody can say goodbye",
        ),
        (
            timeouts.empty_room_grace > timeouts.empty_room,
            "--timeouts.empty-room must be at least --timeouts.empty-room-grace",
        ),
    ];
    match contradictions.into_iter().find(|(is_so, _)| *is_so) {
        Some((_, why)) => Err(Failure::usage(why)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use fullduplex_hub::Rates;

    use super::*;

    /// The fields of a struct, as keys of a section.
    fn fields(section: &str, bounds: &impl Debug) -> Vec<String> {
        let text = format!("{bounds:#?}");
        let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
        lines
            .filter(|line| !line.starts_with([' ', ')', '}']))
            .map(|line| {
                let name = line.split(':').next().unwrap();
                format!("{section}.{}", name.replace('_', "-"))
            })
            .collect()
    }

    #[test]
    fn each_limit_and_wait_of_the_hub_can_be_set() {
        /// Those with flags of their own, which other commands have, too.
        const ELSEWHERE: [&str; 4] = [
            "timeouts.ping-interval",
            "timeouts.ping-timeout",
            "timeouts.idle",
            "timeouts.drain",
        ];
        let mut wanted = fields("limits", &Limits::default());
        wanted.extend(fields("rates", &Rates::default()));
        wanted.extend(fields("timeouts", &Timeouts::default()));
        wanted.retain(|name| !ELSEWHERE.contains(&&**name));
        let limits = Limits::ROWS.iter().map(|row| row.name);
        wanted.sort();
        let rows = limits.chain(Rates::ROWS.iter().map(|row| row.name));
        let rows = rows.chain(Timeouts::ROWS.iter().map(|row| row.name));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable();
        assert_eq!(rows, wanted);
    }

    #[test]
    fn each_flag_sets_its_own_bound_and_no_other() {
        fn check<T: Table + PartialEq + Debug>(bounds: &T) {
            let command = || Bounds::<T>::augment_args(Command::new("x").no_binary_name(true));
            for row in T::ROWS {
                let mut expected = T::default();
                let slot = (row.slot)(&mut expected);
                let other = slot.another();
                (row.slot)(&mut expected).set(&other).unwrap();
                let matches = command().get_matches_from([format!("--{}={other}", row.name)]);
                let read = Bounds::<T>::from_arg_matches(&matches).unwrap().0;
                assert_eq!(read, expected, "{}", row.name);
                assert_ne!(&read, bounds, "{}", row.name);
            }
        }
        check(&Limits::default());
        check(&Rates::default());
        check(&Timeouts::default());
    }

    #[test]
    fn the_defaults_contradict_nothing() {
        assert!(check(&Limits::default(), &Timeouts::default()).is_ok());
        let small = Limits {
            frame: 1024,
            ..Limits::default()
        };
        assert!(check(&small, &Timeouts::default()).is_err());
    }

    #[test]
    fn a_part_of_connections_is_less_than_all_of_them() {
        let judge = |part: Option<usize>| {
            let limits = [
                Limits {
                    connections: 5,
                    unauthenticated: part,
                    ..Limits::default()
                },
                Limits {
                    connections: 5,
                    followers: part,
                    ..Limits::default()
                },
                Limits {
                    connections_per_address: 5,
                    unauthenticated_per_address: part,
                    ..Limits::default()
                },
            ];
            limits.map(|limits| check(&limits, &Timeouts::default()).is_ok())
        };
        assert_eq!(judge(None), [true; 3]);
        assert_eq!(judge(Some(4)), [true; 3]);
        assert_eq!(judge(Some(5)), [false; 3]);
    }
}
