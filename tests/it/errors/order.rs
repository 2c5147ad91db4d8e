//! Where a command breaks two rules, the earlier row of the table answers. (All pairs of what its arguments alone
//! break: `crates/core/tests/request.rs`. Here: what the server adds, before and after.)

use super::*;

#[test]
fn of_two_mistakes_the_first_in_the_order_of_the_contract_is_told() {
    let mut place = Place::new();
    for command in ["MACQUIRE 0 free", "MEXTEND 0 mine", "MRELEASE 0"] {
        let name = format!("lock.{}", command.split(' ').next().expect("a name"));
        place.refuses(&format!("LOCK.{command}"), &arity(&name));
    }
    for (line, error) in [
        // numkeys, what follows
        ("MACQUIRE 0 free me abc", SYNTAX),
        ("MACQUIRE 5 free me abc", SYNTAX),
        ("MACQUIRE abc free me 0", NUMBER),
        ("MEXTEND 0 mine me abc", SYNTAX),
        ("MRELEASE 0 mine <empty>", SYNTAX),
        ("MRELEASE abc mine <empty>", NUMBER),
        // arguments, token too far ahead
        ("ACQUIRE free <empty> 1000 FENCE <far>", OWNER),
        ("ACQUIRE free me 1000 FENCE <far> META <513>", META),
        ("EXTEND mine <513> 1000 FENCE <far>", OWNER),
        // arguments, type
        ("RELEASE string <empty>", OWNER),
        ("EXTEND string <empty> 1000", OWNER),
        ("MRELEASE 1 string <empty>", OWNER),
        ("ACQUIRE string me 1000 FENCE 0", TOKEN),
        ("EXTEND string me 1000 FENCE 0", TOKEN),
        ("MACQUIRE 1 string me 1000 FENCE 0", TOKEN),
        ("MEXTEND 1 string me 1000 FENCE 0", TOKEN),
        ("CHECK string abc", NUMBER),
        ("CHECK string 0", TOKEN),
        // token too far ahead, type
        ("ACQUIRE string me 1000 FENCE <far>", TOO_FAR),
        ("EXTEND string me 1000 FENCE <far>", TOO_FAR),
        ("MACQUIRE 1 string me 1000 FENCE <far>", TOO_FAR),
        ("MEXTEND 1 string me 1000 FENCE <far>", TOO_FAR),
        // token too far ahead, another limit
        ("ACQUIRE mine me 1000 SHARED FENCE <far>", TOO_FAR),
        // all keys are checked before a nil or 0
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
    for (line, error) in [
        ("ACQUIRE free me 1000 SESSION BOGUS", SYNTAX),
        ("MACQUIRE 1 free me 1000 SESSION BLOCK 1", SYNTAX),
        ("ACQUIRE free me abc SESSION", SESSION),
        ("MACQUIRE 1 free me abc SESSION", SESSION),
        ("ACQUIRE string me 1000 SESSION", SESSION),
        ("ACQUIRE mine me 1000 SHARED SESSION", SESSION),
    ] {
        place.refuses_in_script(&format!("LOCK.{line}"), error);
    }
}
