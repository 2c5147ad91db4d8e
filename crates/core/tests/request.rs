//! Arguments of commands: which are accepted, which error is given, and which one first.

use proptest::prelude::*;
use proptest::sample::select;
use redis_lock_core::request::{check_owner, parse_numkeys, parse_token, Acquire, Extend, Terms};
use redis_lock_core::{Error, Limit, MAX_META, MAX_OWNER};

const TERMS: Terms = Terms { max_ttl_ms: 86_400_000, now: 1_000_000 };

const SYNTAX: &str = "ERR syntax error";
const SESSION: &str = "ERR SESSION is not allowed in scripts";
const INTEGER: &str = "ERR value is not an integer or out of range";
const TTL: &str = "ERR ttl must be between 1 and 86400000 milliseconds";
const LIMIT: &str = "ERR limit must be between 1 and 10000";
const NEGATIVE: &str = "ERR timeout is negative";
const TOO_LONG: &str = "ERR timeout is out of range";
const OWNER: &str = "ERR owner must be 1 to 512 bytes";
const META: &str = "ERR meta must be at most 512 bytes";
const TOKEN: &str = "ERR token must be positive";

fn args(line: &str) -> impl Iterator<Item = &[u8]> {
    line.split(' ').map(str::as_bytes)
}

fn acquire(line: &str) -> Result<Acquire<'_>, Error> {
    Acquire::parse(args(line), true, TERMS, || false)
}

fn error<T>(result: Result<T, Error>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn without_options_a_lock_is_exclusive() {
    let expected = Acquire {
        owner: b"o",
        ttl_ms: 1000,
        limit: Limit::EXCLUSIVE,
        block_ms: None,
        session: false,
        fence: None,
        meta: None,
    };
    assert_eq!(acquire("o 1000"), Ok(expected));
    assert_eq!(acquire("o 1000 LIMIT 1"), Ok(expected), "no option = LIMIT 1");
    let plain = Extend { owner: b"o", ttl_ms: 1000, fence: None };
    assert_eq!(Extend::parse(args("o 1000"), TERMS), Ok(plain));
    assert_eq!(Extend::parse(args("o 1000 fEnCe 5"), TERMS), Ok(Extend { fence: Some(5), ..plain }));
}

#[test]
fn options_are_case_insensitive_and_stand_in_any_order() {
    let expected = Acquire {
        owner: b"o",
        ttl_ms: 1000,
        limit: Limit::new(3).unwrap(),
        block_ms: Some(0),
        session: true,
        fence: Some(9),
        meta: Some(b"why"),
    };
    let options = [["LIMIT", "3"], ["Block", "0"], ["sEsSiOn", ""], ["fence", "9"], ["mEtA", "why"]];
    let mut orders = 0;
    for order in permutations(&[0, 1, 2, 3, 4]) {
        let mut line = String::from("o 1000");
        for word in order.iter().flat_map(|&option| options[option]).filter(|word| !word.is_empty()) {
            line += &format!(" {word}");
        }
        assert_eq!(acquire(&line), Ok(expected), "{line}");
        orders += 1;
    }
    assert_eq!(orders, 120);
    assert_eq!(acquire("o 1000 Shared").map(|request| request.limit), Ok(Limit::SHARED));
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![vec![]];
    }
    let with_first = |&first: &usize| {
        let rest: Vec<usize> = of.iter().copied().filter(|&other| other != first).collect();
        permutations(&rest).into_iter().map(move |rest| [vec![first], rest].concat())
    };
    of.iter().flat_map(with_first).collect()
}

#[test]
fn an_options_value_may_look_like_an_option() {
    assert_eq!(
        acquire("o 1 META SHARED").map(|r| (r.meta, r.limit)),
        Ok((Some(&b"SHARED"[..]), Limit::EXCLUSIVE))
    );
    assert_eq!(
        acquire("FENCE 1 META META").map(|r| (r.owner, r.meta)),
        Ok((&b"FENCE"[..], Some(&b"META"[..])))
    );
    assert_eq!(error(acquire("o 1 FENCE META")), INTEGER);
    assert_eq!(error(acquire("o 1 LIMIT BLOCK 5")), SYNTAX, "BLOCK is the limit, 5 an unknown option");
}

#[test]
fn an_empty_meta_is_not_the_same_as_none() {
    let args: [&[u8]; 4] = [b"o", b"1", b"META", b""];
    assert_eq!(Acquire::parse(args.into_iter(), true, TERMS, || false).map(|r| r.meta), Ok(Some(&b""[..])));
}

#[test]
fn unknown_doubled_contradicting_and_unfinished_options_are_syntax_errors() {
    let options = ["SHARED", "LIMIT 2", "BLOCK 5", "SESSION", "FENCE 7", "META text"];
    for option in options {
        assert!(acquire(&format!("o 1 {option}")).is_ok(), "{option}");
        assert_eq!(error(acquire(&format!("o 1 {option} {option}"))), SYNTAX, "{option}");
        assert_eq!(error(acquire(&format!("o 1 {option} WAIT"))), SYNTAX, "{option}");
        assert_eq!(error(acquire(&format!("o 1 {option} "))), SYNTAX, "an empty argument is no option");
        if let Some((name, _)) = option.split_once(' ') {
            assert_eq!(error(acquire(&format!("o 1 {name}"))), SYNTAX, "{name}");
        }
        let extend =
            Extend::parse(args(&format!("o 1 {option}")).collect::<Vec<_>>().into_iter(), TERMS).is_ok();
        assert_eq!(extend, option.starts_with("FENCE"), "{option}");
    }
    for line in
        ["o 1 SHARED LIMIT 2", "o 1 LIMIT 2 SHARED", "o 1 SHARED LIMIT 1", "o 1 LIMIT x META a SHARED"]
    {
        assert_eq!(error(acquire(line)), SYNTAX, "{line}");
    }
    for line in ["o 1 SHARED2", "o 1 SHARE", "o 1 \0SHARED", "o 1 NX", "o 1 1000", "o", ""] {
        assert_eq!(error(acquire(line)), SYNTAX, "{line}");
        assert_eq!(error(Extend::parse(args(line), TERMS)), SYNTAX, "{line}");
    }
    assert_eq!(error(Acquire::parse(std::iter::empty(), true, TERMS, || false)), SYNTAX);
    assert_eq!(error(Extend::parse(args("o 1 FENCE 5 FENCE 5"), TERMS)), SYNTAX);
}

#[test]
fn several_locks_know_all_options_but_block() {
    let many = |line| Acquire::parse(args(line), false, TERMS, || false);
    assert_eq!(error(many("o 1 BLOCK 5")), SYNTAX);
    assert_eq!(error(many("o 1 META BLOCK BLOCK 5")), SYNTAX);
    assert_eq!(many("o 1 SHARED SESSION FENCE 7 META text"), acquire("o 1 SHARED SESSION FENCE 7 META text"));
    assert_eq!(error(Acquire::parse(args("o x SESSION"), false, TERMS, || true)), SESSION);
}

/// One wrong argument each, in the order in which the contract checks them: of two in one command
/// the error of the former is given.
const WRONG: [(&str, &str, &str, &str); 15] = [
    // owner, ttl, options, error
    ("", "", "NOSUCH 1", SYNTAX),
    ("", "", "SESSION", SESSION),
    ("", "1x", "", INTEGER),
    ("", "", "LIMIT 1x", INTEGER),
    ("", "", "BLOCK -", INTEGER),
    ("", "", "FENCE 9223372036854775808", INTEGER),
    ("", "0", "", TTL),
    ("", "", "LIMIT 0", LIMIT),
    ("", "", "BLOCK -1", NEGATIVE),
    ("", "", "BLOCK 9223372036854775807", TOO_LONG),
    ("<empty>", "", "", OWNER),
    ("<513>", "", "", OWNER),
    ("", "", "META <513>", META),
    ("", "", "FENCE 0", TOKEN),
    ("", "", "FENCE -1", TOKEN),
];

/// Both mistakes in one command; `None` where they are in the same argument.
fn both(one: (&str, &str, &str, &str), other: (&str, &str, &str, &str)) -> Option<Vec<Vec<u8>>> {
    let pick = |a: &str, b: &str, default: &str| match (a, b) {
        ("", "") => Some(default.to_string()),
        ("", only) | (only, "") => Some(only.to_string()),
        _ => None,
    };
    let name = |options: &str| options.split(' ').next().map(str::to_string);
    if !one.2.is_empty() && name(one.2) == name(other.2) {
        return None;
    }
    let line = format!("{} {} {} {}", pick(one.0, other.0, "o")?, pick(one.1, other.1, "1")?, one.2, other.2);
    let bytes = |word: &str| match word {
        "<empty>" => vec![],
        "<513>" => vec![b'x'; 513],
        word => word.as_bytes().to_vec(),
    };
    Some(line.split(' ').filter(|word| !word.is_empty()).map(bytes).collect())
}

#[test]
fn each_mistake_alone_gives_its_error() {
    for wrong in WRONG {
        let args = both(wrong, ("", "", "", "")).expect("nothing to collide with");
        let result = Acquire::parse(args.iter().map(Vec::as_slice), true, TERMS, || true);
        assert_eq!(error(result), wrong.3, "{wrong:?}");
        if wrong.2.is_empty() || wrong.2.starts_with("FENCE") {
            let result = Extend::parse(args.iter().map(Vec::as_slice), TERMS);
            assert_eq!(error(result), wrong.3, "{wrong:?}");
        }
    }
}

#[test]
fn of_two_mistakes_the_first_in_the_order_of_the_contract_is_told() {
    let mut tried = 0;
    for (place, first) in WRONG.into_iter().enumerate() {
        for second in WRONG.into_iter().skip(place + 1) {
            // Options in both orders: where they stand does not count.
            for args in [both(first, second), both(second, first)].into_iter().flatten() {
                let result = Acquire::parse(args.iter().map(Vec::as_slice), true, TERMS, || true);
                assert_eq!(error(result), first.3, "{first:?} and {second:?}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 192, "all pairs but those in one argument");
}

#[test]
fn a_script_is_asked_for_only_where_session_is_given() {
    let asked = std::cell::Cell::new(0);
    let in_script = || {
        asked.set(asked.get() + 1);
        true
    };
    assert!(Acquire::parse(args("o 1 SHARED"), true, TERMS, in_script).is_ok());
    assert_eq!(asked.get(), 0);
    assert_eq!(error(Acquire::parse(args("o 1 session"), true, TERMS, in_script)), SESSION);
    assert_eq!(asked.get(), 1);
}

#[test]
fn the_ends_of_every_range() {
    let table = [
        ("o 1", ""),
        ("o 86400000", ""),
        ("o 86400001", TTL),
        ("o -1", TTL),
        ("o -9223372036854775808", TTL),
        ("o 9223372036854775807", TTL),
        ("o 9223372036854775808", INTEGER),
        ("o 01", INTEGER),
        ("o +1", INTEGER),
        ("o 1 LIMIT 10000", ""),
        ("o 1 LIMIT 10001", LIMIT),
        ("o 1 LIMIT -1", LIMIT),
        ("o 1 LIMIT 65536", LIMIT),
        ("o 1 LIMIT 65537", LIMIT),
        ("o 1 BLOCK 0", ""),
        ("o 1 BLOCK -9223372036854775808", NEGATIVE),
        // In microseconds 9223372036854775 ms would fit, but the clock stands at 1,000 ms.
        ("o 1 BLOCK 9223372036853775", ""),
        ("o 1 BLOCK 9223372036853776", TOO_LONG),
        ("o 1 BLOCK 9223372036854775", TOO_LONG),
        ("o 1 FENCE 1", ""),
        ("o 1 FENCE 9223372036854775807", ""),
    ];
    for (line, expected) in table {
        assert_eq!(error(acquire(line)), expected, "{line}");
    }
    let short = Terms { max_ttl_ms: 5, now: 0 };
    assert_eq!(error(Extend::parse(args("o 6"), short)), "ERR ttl must be between 1 and 5 milliseconds");
}

#[test]
fn owners_and_meta_are_measured_in_bytes_and_may_be_any() {
    for (len, valid) in [(0, false), (1, true), (MAX_OWNER, true), (MAX_OWNER + 1, false), (70_000, false)] {
        assert_eq!(check_owner(&vec![0xff; len]).is_ok(), valid, "{len}");
        let owner = vec![0; len];
        let args = [&owner[..], b"1"];
        assert_eq!(Acquire::parse(args.into_iter(), true, TERMS, || false).is_ok(), valid, "{len}");
        assert_eq!(Extend::parse(args.into_iter(), TERMS).is_ok(), valid, "{len}");
    }
    for (len, valid) in [(0, true), (MAX_META, true), (MAX_META + 1, false), (70_000, false)] {
        let meta = vec![b'%'; len];
        let args: [&[u8]; 4] = [b"o", b"1", b"META", &meta];
        assert_eq!(Acquire::parse(args.into_iter(), true, TERMS, || false).is_ok(), valid, "{len}");
    }
}

#[test]
fn numkeys() {
    let table = [
        ("1", 3, Ok(1)),
        ("3", 3, Ok(3)),
        ("4", 3, Err(SYNTAX)),
        ("0", 3, Err(SYNTAX)),
        ("1", 0, Err(SYNTAX)),
    ];
    let table = table.into_iter().chain([
        ("-1", 3, Err(SYNTAX)),
        ("9223372036854775807", 3, Err(SYNTAX)),
        ("-9223372036854775808", 3, Err(SYNTAX)),
        ("x", 3, Err(INTEGER)),
        ("", 3, Err(INTEGER)),
        ("9223372036854775808", 3, Err(INTEGER)),
    ]);
    for (text, available, expected) in table {
        let result = parse_numkeys(text.as_bytes(), available).map_err(|error| error.to_string());
        assert_eq!(result, expected.map_err(str::to_string), "{text} of {available}");
    }
}

#[test]
fn tokens() {
    assert_eq!(parse_token(b"1"), Ok(1));
    assert_eq!(parse_token(b"9223372036854775807"), Ok(i64::MAX as u64));
    assert_eq!(error(parse_token(b"0")), TOKEN);
    assert_eq!(error(parse_token(b"-1")), TOKEN);
    assert_eq!(error(parse_token(b"9223372036854775808")), INTEGER);
    assert_eq!(error(parse_token(b"one")), INTEGER);
}

#[test]
fn the_words_of_the_other_errors() {
    let table = [
        (Error::TokenTooFarAhead, "ERR token is too far ahead"),
        (Error::WrongType, "WRONGTYPE Operation against a key holding the wrong kind of value"),
        (Error::Cooldown(17), "COOLDOWN locks are granted and extended again in 17 ms"),
        (Error::OtherLimit, "ERR owner already holds this lock with another limit"),
    ];
    for (error, line) in table {
        assert_eq!(error.to_string(), line);
    }
}

/// Words of the grammar, numbers at every bound, and junk.
fn argument() -> impl Strategy<Value = Vec<u8>> {
    let words =
        vec!["SHARED", "LIMIT", "BLOCK", "SESSION", "FENCE", "META", "limit", "Fence", "EXPIRED", "o"];
    let numbers = vec![
        "0",
        "1",
        "2",
        "-1",
        "10000",
        "10001",
        "86400000",
        "86400001",
        "9007199254740992",
        "9223372036854774",
        "9223372036854775",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
    ];
    prop_oneof![
        6 => select(words).prop_map(|word| word.as_bytes().to_vec()),
        6 => select(numbers).prop_map(|number| number.as_bytes().to_vec()),
        2 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        2 => (1..100_000i64).prop_map(|number| number.to_string().into_bytes()),
        1 => select(vec![0, 512, 513, 70_000usize]).prop_map(|len| vec![b'1'; len]),
        2 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

/// Mostly well-formed: an owner, a ttl, then options that have a value where they want one.
fn arguments() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let option = (select(vec!["SHARED", "SESSION", "LIMIT", "block", "Fence", "META"]), argument());
    let option = option.prop_map(|(name, value)| match name {
        "SHARED" | "SESSION" => vec![name.into()],
        name => vec![name.into(), value],
    });
    let well_formed = (argument(), argument(), prop::collection::vec(option, 0..5))
        .prop_map(|(owner, ttl, options)| [vec![owner, ttl], options.concat()].concat());
    prop_oneof![3 => well_formed, 1 => prop::collection::vec(argument(), 0..12)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]

    #[test]
    fn what_is_accepted_is_within_its_ranges(
        args in arguments(), script: bool, max_ttl_ms in 1..=i64::MAX, now: i64
    ) {
        let terms = Terms { max_ttl_ms, now };
        let args = || args.iter().map(Vec::as_slice);
        for (request, many) in [
            (Acquire::parse(args(), true, terms, || script), false),
            (Acquire::parse(args(), false, terms, || script), true),
        ] {
            let Ok(request) = request else { continue };
            prop_assert!((1..=MAX_OWNER).contains(&request.owner.len()));
            prop_assert!((1..=max_ttl_ms).contains(&request.ttl_ms));
            prop_assert!((0..=10_000).contains(&request.limit.to_wire()));
            prop_assert!(!(script && request.session));
            prop_assert!(request.fence.is_none_or(|fence| fence > 0 && i64::try_from(fence).is_ok()));
            prop_assert!(request.meta.is_none_or(|meta| meta.len() <= MAX_META));
            prop_assert!(request.block_ms.is_none_or(|ms| ms >= 0 && ms.checked_mul(1000).and_then(|us| us.checked_add(now)).is_some()));
            prop_assert!(!many || request.block_ms.is_none());
        }
        if let Ok(request) = Extend::parse(args(), terms) {
            prop_assert!((1..=MAX_OWNER).contains(&request.owner.len()));
            prop_assert!((1..=max_ttl_ms).contains(&request.ttl_ms));
            prop_assert!(request.fence.is_none_or(|fence| fence > 0));
        }
    }

    #[test]
    fn a_number_of_keys_is_at_least_one_and_there_are_as_many(text in argument(), available in 0..20usize) {
        match parse_numkeys(&text, available) {
            Ok(count) => prop_assert!((1..=available).contains(&count)),
            Err(error) => prop_assert!(matches!(error, Error::Syntax | Error::NotAnInteger)),
        }
        if let Ok(token) = parse_token(&text) {
            prop_assert_eq!(token.to_string().into_bytes(), text);
        }
    }
}
