//! Effects: what was written is read back, and what nobody can have written is refused.

use proptest::prelude::*;
use proptest::sample::select;
use redis_lock_core::effect::{parse_gone, token, Cause, Gone, HoldEffect};
use redis_lock_core::{Error, Limit, MAX_META, MAX_OWNER, TOKEN_END};

/// An effect that owns its bytes.
#[derive(Clone, Debug)]
struct Written {
    owner: Vec<u8>,
    ttl_ms: i64,
    token: u64,
    limit: u16,
    held_ms: i64,
    meta: Vec<u8>,
    gone: Vec<(Cause, Vec<u8>)>,
}

impl Written {
    /// The hold that the effect states.
    fn effect(&self) -> HoldEffect<'_> {
        HoldEffect {
            owner: &self.owner,
            ttl_ms: self.ttl_ms,
            token: self.token,
            limit: Limit::from_wire(i64::from(self.limit)).expect("a limit that is allowed"),
            held_ms: self.held_ms,
            meta: &self.meta,
            gone: gone(&self.gone),
        }
    }

    /// The arguments after the key; what is the default may be left out.
    fn arguments(&self, with_defaults: bool) -> Vec<Vec<u8>> {
        let mut args = vec![self.owner.clone(), number(self.ttl_ms), number(self.token)];
        let mut option = |name: &str, value: Vec<u8>, default: &[u8]| {
            if with_defaults || value != default {
                args.extend([name.as_bytes().to_vec(), value]);
            }
        };
        option("LIMIT", number(self.limit), b"1");
        option("HELD", number(self.held_ms), b"0");
        option("META", self.meta.clone(), b"");
        args.extend(gone_arguments(&self.gone));
        args
    }
}

fn number(number: impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn gone(of: &[(Cause, Vec<u8>)]) -> Vec<Gone<'_>> {
    of.iter().map(|(cause, owner)| (*cause, &owner[..])).collect()
}

fn gone_arguments(of: &[(Cause, Vec<u8>)]) -> Vec<Vec<u8>> {
    of.iter().flat_map(|(cause, owner)| [cause.word().as_bytes().to_vec(), owner.clone()]).collect()
}

fn parse(args: &[Vec<u8>]) -> Result<HoldEffect<'_>, Error> {
    HoldEffect::parse(args.iter().map(Vec::as_slice))
}

fn parse_line(line: &str) -> Result<HoldEffect<'_>, Error> {
    HoldEffect::parse(line.split(' ').map(str::as_bytes))
}

fn bytes(least: usize, most: usize) -> impl Strategy<Value = Vec<u8>> {
    let words = vec![
        b"LIMIT".to_vec(),
        b"META".to_vec(),
        b"EXPIRED".to_vec(),
        b"\0\xff%s".to_vec(),
        vec![b'x'; most],
    ];
    prop_oneof![3 => prop::collection::vec(any::<u8>(), least..40), 1 => select(words)]
}

fn any_gone(least: usize) -> impl Strategy<Value = Vec<(Cause, Vec<u8>)>> {
    let cause = select(vec![Cause::Expired, Cause::Released]);
    prop::collection::vec((cause, bytes(1, MAX_OWNER)), least..6)
}

fn written() -> impl Strategy<Value = Written> {
    let times = || prop_oneof![0..100_000i64, 0..=i64::MAX, Just(0), Just(i64::MAX)];
    let token = prop_oneof![1..TOKEN_END, Just(1), Just(TOKEN_END - 1)];
    let limit = prop_oneof![0..=10_000u16, 0..3u16];
    (bytes(1, MAX_OWNER), times(), token, limit, times(), bytes(0, MAX_META), any_gone(0)).prop_map(
        |(owner, ttl_ms, token, limit, held_ms, meta, gone)| Written {
            owner,
            ttl_ms,
            token,
            limit,
            held_ms,
            meta,
            gone,
        },
    )
}

fn junk() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let word =
        select(vec!["LIMIT", "held", "META", "EXPIRED", "Released", "1", "0", "-1", "9007199254740992"]);
    let argument = prop_oneof![3 => word.prop_map(|word| word.as_bytes().to_vec()), 1 => bytes(0, 513)];
    prop::collection::vec(argument, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_was_written_is_read_back(written in written(), with_defaults: bool) {
        let args = written.arguments(with_defaults);
        prop_assert_eq!(parse(&args), Ok(written.effect()));
    }

    #[test]
    fn options_stand_in_any_order_and_case(written in written(), upper in any::<[bool; 4]>(), turn in 0..4usize) {
        let args = written.arguments(true);
        let (hold, options) = args.split_at(3);
        let mut options: Vec<_> = options.chunks(2).map(<[_]>::to_vec).collect();
        for (option, upper) in options.iter_mut().zip(upper.iter().cycle()) {
            option[0] = if *upper { option[0].to_ascii_uppercase() } else { option[0].to_ascii_lowercase() };
        }
        // The order among those that went is theirs.
        let gone = options.split_off(3);
        options.rotate_left(turn % 3);
        options.splice(turn..turn, gone);
        let args = [hold.to_vec(), options.concat()].concat();
        prop_assert_eq!(parse(&args), Ok(written.effect()));
    }

    /// Cut between two options the rest is a valid effect, and another one; elsewhere it is none.
    #[test]
    fn cut_short_it_never_reads_as_the_whole(written in written()) {
        let args = written.arguments(true);
        for len in 0..args.len() {
            let cut = parse(&args[..len]);
            prop_assert_eq!(cut.is_ok(), len >= 3 && len % 2 == 1, "{} arguments: {:?}", len, cut);
            if len < 9 {
                continue;
            }
            let missing = (args.len() - len).div_ceil(2);
            prop_assert!(cut.is_err() || cut.is_ok_and(|cut| cut.gone.len() + missing == written.gone.len()));
        }
    }

    #[test]
    fn drops_are_read_back(gone_holds in any_gone(1)) {
        let args = gone_arguments(&gone_holds);
        prop_assert_eq!(parse_gone(args.iter().map(Vec::as_slice)), Ok(gone(&gone_holds)));
        let cut = args[..args.len() - 1].iter().map(Vec::as_slice);
        prop_assert_eq!(parse_gone(cut), Err(Error::Syntax));
    }

    #[test]
    fn junk_is_refused_or_within_its_ranges(start in written(), junk in junk(), whole: bool) {
        let args = if whole { junk.clone() } else { [start.arguments(false), junk.clone()].concat() };
        if let Ok(effect) = parse(&args) {
            prop_assert!((1..=MAX_OWNER).contains(&effect.owner.len()));
            prop_assert!(effect.ttl_ms >= 0 && effect.held_ms >= 0 && (1..TOKEN_END).contains(&effect.token));
            prop_assert!(effect.limit.to_wire() <= 10_000 && effect.meta.len() <= MAX_META);
            prop_assert!(effect.gone.iter().all(|(_, owner)| (1..=MAX_OWNER).contains(&owner.len())));
        }
        if let Ok(gone) = parse_gone(junk.iter().map(Vec::as_slice)) {
            prop_assert!(!gone.is_empty() && gone.len() * 2 == junk.len());
        }
    }
}

#[test]
fn a_hold_effect_as_the_documentation_writes_it() {
    let effect = parse_line("o 1500 77 LIMIT 3 HELD 20 META why EXPIRED a RELEASED b").unwrap();
    let expected = HoldEffect {
        owner: b"o",
        ttl_ms: 1500,
        token: 77,
        limit: Limit::new(3).unwrap(),
        held_ms: 20,
        meta: b"why",
        gone: vec![(Cause::Expired, b"a"), (Cause::Released, b"b")],
    };
    assert_eq!(effect, expected);
    let shortest = HoldEffect { limit: Limit::EXCLUSIVE, held_ms: 0, meta: b"", gone: vec![], ..expected };
    assert_eq!(parse_line("o 1500 77"), Ok(shortest.clone()), "exclusive is the default");
    assert_eq!(parse_line("o 1500 77 LIMIT 0"), Ok(HoldEffect { limit: Limit::SHARED, ..shortest }));
}

#[test]
fn the_bounds_of_every_field() {
    let table = [
        ("o 0 1", None),
        ("o 9223372036854775807 1", None),
        ("o -1 1", Some(Error::OutOfRange)),
        ("o 9223372036854775808 1", Some(Error::NotAnInteger)),
        ("o x 1", Some(Error::NotAnInteger)),
        ("o 1 0", Some(Error::TokenNotPositive)),
        ("o 1 -1", Some(Error::TokenNotPositive)),
        ("o 1 9007199254740991", None),
        ("o 1 9007199254740992", Some(Error::TokenTooFarAhead)),
        ("o 1 9223372036854775808", Some(Error::NotAnInteger)),
        ("o 1 1 LIMIT 0", None),
        ("o 1 1 LIMIT 10000", None),
        ("o 1 1 LIMIT 10001", Some(Error::Limit)),
        ("o 1 1 LIMIT 65535", Some(Error::Limit)),
        ("o 1 1 LIMIT 65536", Some(Error::Limit)),
        ("o 1 1 LIMIT -1", Some(Error::Limit)),
        ("o 1 1 LIMIT", Some(Error::Syntax)),
        ("o 1 1 HELD 9223372036854775807", None),
        ("o 1 1 HELD -1", Some(Error::OutOfRange)),
        ("o 1 1 HELD x", Some(Error::NotAnInteger)),
        ("o 1 1 FENCE 5", Some(Error::Syntax)),
        ("o 1 1 SHARED", Some(Error::Syntax)),
        ("o 1 1 EXPIRED ", Some(Error::Owner)),
        ("o 1", Some(Error::Syntax)),
        ("o", Some(Error::Syntax)),
        (" 1 1", Some(Error::Owner)),
    ];
    for (line, expected) in table {
        assert_eq!(parse_line(line).err(), expected, "{line:?}");
    }
    assert_eq!(HoldEffect::parse(std::iter::empty()), Err(Error::Syntax));
}

#[test]
fn owners_and_meta_of_every_length() {
    for (len, valid) in [(0, false), (1, true), (MAX_OWNER, true), (MAX_OWNER + 1, false), (70_000, false)] {
        let long = vec![0xff; len];
        let error = (!valid).then_some(Error::Owner);
        assert_eq!(HoldEffect::parse([&long[..], b"1", b"1"].into_iter()).err(), error, "{len}");
        let gone = [b"o", &b"1"[..], b"1", b"RELEASED", &long];
        assert_eq!(HoldEffect::parse(gone.into_iter()).err(), error, "{len}");
        assert_eq!(parse_gone([b"EXPIRED", &long[..]].into_iter()).err(), error, "{len}");
    }
    for (len, valid) in [(0, true), (MAX_META, true), (MAX_META + 1, false), (70_000, false)] {
        let meta = vec![0; len];
        let args = [b"o", &b"1"[..], b"1", b"META", &meta];
        assert_eq!(HoldEffect::parse(args.into_iter()).err(), (!valid).then_some(Error::Meta), "{len}");
    }
}

#[test]
fn a_drop_names_at_least_one_hold_and_nothing_else() {
    let parse = |line: &'static str| parse_gone(line.split(' ').map(str::as_bytes));
    assert_eq!(parse("released a Expired b"), Ok(vec![(Cause::Released, &b"a"[..]), (Cause::Expired, b"b")]));
    for line in ["", "EXPIRED", "RELEASED a EXPIRED", "a EXPIRED", "META a", "EXPIRED a LIMIT 2"] {
        assert_eq!(parse(line), Err(Error::Syntax), "{line:?}");
    }
    assert_eq!(parse_gone(std::iter::empty()), Err(Error::Syntax));
}

#[test]
fn a_last_token_is_positive_and_below_2_to_the_53() {
    assert_eq!(token(b"1"), Ok(1));
    assert_eq!(token(b"9007199254740991"), Ok(TOKEN_END - 1));
    for (text, error) in [
        ("0", Error::TokenNotPositive),
        ("-5", Error::TokenNotPositive),
        ("9007199254740992", Error::TokenTooFarAhead),
        ("9223372036854775807", Error::TokenTooFarAhead),
        ("9223372036854775808", Error::NotAnInteger),
        ("", Error::NotAnInteger),
    ] {
        assert_eq!(token(text.as_bytes()), Err(error), "{text:?}");
    }
}
