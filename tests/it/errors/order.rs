//! Where a command breaks two rules, the earlier row of the table answers.

use super::*;

#[test]
fn on_one_key() {
    let mut place = Place::new();
    for (line, error) in [
        // syntax, number
        ("ACQUIRE free me abc BOGUS", SYNTAX),
        ("ACQUIRE free me 1000 LIMIT abc SHARED", SYNTAX),
        ("ACQUIRE free me 1000 FENCE abc FENCE 1", SYNTAX),
        ("EXTEND mine me abc BOGUS", SYNTAX),
        ("EXTEND mine me 1000 FENCE abc BOGUS", SYNTAX),
        // number, ttl
        ("ACQUIRE free me 0 LIMIT abc", NUMBER),
        ("ACQUIRE free me 0 BLOCK abc", NUMBER),
        ("ACQUIRE free me 0 FENCE abc", NUMBER),
        ("EXTEND mine me 0 FENCE abc", NUMBER),
        // ttl, limit and block
        ("ACQUIRE free me 0 LIMIT 0", TTL),
        ("ACQUIRE free me 0 BLOCK -1", TTL),
        ("ACQUIRE free me 0 BLOCK 9223372036854775807", TTL),
        // within the row: limit, block
        ("ACQUIRE free me 1000 BLOCK -1 LIMIT 0", LIMIT),
        ("ACQUIRE free me 1000 BLOCK 9223372036854775807 LIMIT 0", LIMIT),
        // limit and block, owner and META
        ("ACQUIRE free <empty> 1000 LIMIT 0", LIMIT),
        ("ACQUIRE free <513> 1000 BLOCK -1", NEGATIVE),
        ("ACQUIRE free <empty> 1000 BLOCK 9223372036854775807", TOO_LONG),
        ("ACQUIRE free me 1000 META <513> LIMIT 0", LIMIT),
        ("ACQUIRE free me 1000 META <513> BLOCK -1", NEGATIVE),
        // ttl, owner
        ("EXTEND mine <empty> 0", TTL),
        // within the row: owner, META
        ("ACQUIRE free <empty> 1000 META <513>", OWNER),
        // owner and META, token
        ("ACQUIRE free <empty> 1000 FENCE 0", OWNER),
        ("ACQUIRE free <empty> 1000 FENCE <far>", OWNER),
        ("ACQUIRE free me 1000 FENCE 0 META <513>", META),
        ("ACQUIRE free me 1000 FENCE <far> META <513>", META),
        ("EXTEND mine <empty> 1000 FENCE 0", OWNER),
        ("EXTEND mine <513> 1000 FENCE <far>", OWNER),
        // owner, type
        ("RELEASE string <empty>", OWNER),
        ("EXTEND string <empty> 1000", OWNER),
        // token, type
        ("ACQUIRE string me 1000 FENCE 0", TOKEN),
        ("ACQUIRE string me 1000 FENCE <far>", TOO_FAR),
        ("EXTEND string me 1000 FENCE 0", TOKEN),
        ("EXTEND string me 1000 FENCE <far>", TOO_FAR),
        ("CHECK string abc", NUMBER),
        ("CHECK string 0", TOKEN),
        // token, another limit
        ("ACQUIRE mine me 1000 SHARED FENCE <far>", TOO_FAR),
    ] {
        place.refuses(&format!("LOCK.{line}"), error);
    }
}

#[test]
fn on_several_keys() {
    let mut place = Place::new();
    place.refuses("LOCK.MACQUIRE 0 free", &arity("lock.macquire"));
    place.refuses("LOCK.MEXTEND 0 mine", &arity("lock.mextend"));
    place.refuses("LOCK.MRELEASE 0", &arity("lock.mrelease"));
    for (line, error) in [
        ("MACQUIRE 0 free me abc", SYNTAX),
        ("MACQUIRE 5 free me abc", SYNTAX),
        ("MACQUIRE 1 free me abc BOGUS", SYNTAX),
        ("MACQUIRE 1 free me 0 LIMIT abc", NUMBER),
        ("MACQUIRE abc free me 0", NUMBER),
        ("MACQUIRE 1 free me 0 LIMIT 0", TTL),
        ("MACQUIRE 1 free <empty> 1000 LIMIT 0", LIMIT),
        ("MACQUIRE 1 free <empty> 1000 META <513>", OWNER),
        ("MACQUIRE 1 free me 1000 META <513> FENCE 0", META),
        ("MACQUIRE 1 string me 1000 FENCE 0", TOKEN),
        ("MACQUIRE 1 string me 1000 FENCE <far>", TOO_FAR),
        ("MEXTEND 0 mine me abc", SYNTAX),
        ("MEXTEND 1 mine me 0 FENCE abc", NUMBER),
        ("MEXTEND 1 mine <empty> 0", TTL),
        ("MEXTEND 1 mine <empty> 1000 FENCE 0", OWNER),
        ("MEXTEND 1 string me 1000 FENCE 0", TOKEN),
        ("MEXTEND 1 string me 1000 FENCE <far>", TOO_FAR),
        ("MRELEASE 0 mine <empty>", SYNTAX),
        ("MRELEASE abc mine <empty>", NUMBER),
        ("MRELEASE 1 string <empty>", OWNER),
    ] {
        place.refuses(&format!("LOCK.{line}"), error);
    }
}

#[test]
fn all_keys_are_checked_before_a_nil_or_0() {
    let mut place = Place::new();
    for (line, error) in [
        ("MACQUIRE 2 theirs string me 1000", WRONGTYPE),
        ("MACQUIRE 2 string theirs me 1000", WRONGTYPE),
        ("MACQUIRE 2 mine string me 1000 LIMIT 2", WRONGTYPE),
        ("MACQUIRE 3 theirs mine string me 1000 LIMIT 2", WRONGTYPE),
        ("MACQUIRE 2 theirs mine me 1000 LIMIT 2", OTHER_LIMIT),
        ("MACQUIRE 2 mine theirs me 1000 LIMIT 2", OTHER_LIMIT),
        ("MACQUIRE 2 free mine me 1000 SHARED", OTHER_LIMIT),
        ("MEXTEND 2 free string me 1000", WRONGTYPE),
        ("MEXTEND 2 theirs string me 1000 FENCE 1", WRONGTYPE),
        ("MRELEASE 2 free string me", WRONGTYPE),
        ("MRELEASE 2 mine string me", WRONGTYPE),
    ] {
        place.refuses(&format!("LOCK.{line}"), error);
    }
}

#[test]
fn in_a_script() {
    let mut place = Place::new();
    for (line, error) in [
        // syntax, SESSION
        ("ACQUIRE free me 1000 SESSION BOGUS", SYNTAX),
        ("ACQUIRE free me 1000 BOGUS SESSION", SYNTAX),
        ("ACQUIRE free me 1000 SESSION SESSION", SYNTAX),
        ("MACQUIRE 0 free me 1000 SESSION", SYNTAX),
        ("MACQUIRE 1 free me 1000 SESSION BLOCK 1", SYNTAX),
        // SESSION, number
        ("ACQUIRE free me abc SESSION", SESSION),
        ("ACQUIRE free me 1000 SESSION LIMIT abc", SESSION),
        ("ACQUIRE free me 1000 FENCE abc SESSION", SESSION),
        ("MACQUIRE 1 free me abc SESSION", SESSION),
        // SESSION, all that comes later
        ("ACQUIRE free me 0 SESSION", SESSION),
        ("ACQUIRE free <empty> 1000 SESSION", SESSION),
        ("ACQUIRE string me 1000 SESSION", SESSION),
        ("ACQUIRE mine me 1000 SHARED SESSION", SESSION),
    ] {
        place.refuses_in_script(&format!("LOCK.{line}"), error);
    }
}
