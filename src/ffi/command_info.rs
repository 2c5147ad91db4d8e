//! A command's documentation, as the server's structures.

use std::ffi::{CStr, CString};
use std::iter::Peekable;
use std::os::raw::{c_char, c_int};
use std::ptr::{null, null_mut};
use std::str::SplitWhitespace;

use redis_lock_core::request::parse_numkeys;
use redis_module::raw;

use super::api::{call, pointer, status};
use super::arguments::Args;
use super::context::Ctx;
use super::doc::{Access, Doc, Keys};

use raw::{
    RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY as KEY,
    RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF as ONE_OF,
    RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN as PURE_TOKEN,
};

/// Names of numeric arguments.
const NUMBERS: [&str; 5] = ["numkeys", "ttl-ms", "milliseconds", "n", "token"];

type Arg = raw::RedisModuleCommandArg;
type Words<'s> = Peekable<SplitWhitespace<'s>>;

/// Owns what the server's structures point to, until the server has copied it.
#[derive(Default)]
struct Arena {
    strings: Vec<CString>,
    lists: Vec<Vec<Arg>>,
}

impl Arena {
    fn string(&mut self, text: &str) -> *const c_char {
        let text = CString::new(text).unwrap_or_default();
        // The text of a CString does not move with it.
        let start = text.as_ptr();
        self.strings.push(text);
        start
    }

    fn list(&mut self, mut args: Vec<Arg>) -> *mut Arg {
        // SAFETY: all fields may be zero: that is how the server marks the end of a list.
        args.push(unsafe { std::mem::zeroed() });
        let start = args.as_mut_ptr();
        self.lists.push(args);
        start
    }

    /// Parses arguments up to the end, or to the end of an optional part.
    fn args(&mut self, words: &mut Words) -> Vec<Arg> {
        let mut args: Vec<Arg> = Vec::new();
        while let Some(word) = words.next() {
            match word {
                "]" => break,
                "|" => {}
                "[" => {
                    let mut choice = self.args(words);
                    let mut arg = match choice.len() {
                        1 => choice.remove(0),
                        _ => Arg { subargs: self.list(choice), ..self.arg("kind", ONE_OF, None) },
                    };
                    arg.flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL as c_int;
                    args.push(arg);
                }
                "..." => {
                    let multiple = raw::REDISMODULE_CMD_ARG_MULTIPLE as c_int;
                    args.last_mut().into_iter().for_each(|arg| arg.flags |= multiple);
                }
                token if token.starts_with(|letter: char| letter.is_ascii_uppercase()) => {
                    let value =
                        words.next_if(|next| next.starts_with(|letter: char| letter.is_ascii_lowercase()));
                    args.push(match value {
                        Some(name) => self.arg(name, kind(name), Some(token)),
                        None => self.arg(&token.to_lowercase(), PURE_TOKEN, Some(token)),
                    });
                }
                name => args.push(self.arg(name, kind(name), None)),
            }
        }
        args
    }

    fn arg(&mut self, name: &str, type_: raw::RedisModuleCommandArgType, token: Option<&str>) -> Arg {
        Arg {
            name: self.string(name),
            type_,
            key_spec_index: if type_ == KEY { 0 } else { -1 },
            token: token.map_or(null(), |token| self.string(token)),
            summary: null(),
            since: null(),
            flags: 0,
            deprecated_since: null(),
            subargs: null_mut(),
            display_text: null(),
        }
    }
}

fn kind(name: &str) -> raw::RedisModuleCommandArgType {
    match name {
        "key" => KEY,
        name if NUMBERS.contains(&name) => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
        _ => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
    }
}

/// Describes a command to the server. Returns `false` if the server refuses.
pub fn describe(ctx: &Ctx, name: &CStr, doc: &Doc) -> bool {
    let mut arena = Arena::default();
    let version = raw::RedisModuleCommandInfoVersion {
        version: 1,
        sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
        sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
        sizeof_arg: size_of::<Arg>(),
    };
    // A list that ends with a zeroed element. Without keys that is the first one.
    let mut specs = [key_spec(doc.keys), key_spec(Keys::None)];
    let syntax = ["[", "]", "..."]
        .into_iter()
        .fold(doc.parts().1.to_owned(), |syntax, mark| syntax.replace(mark, &format!(" {mark} ")));
    let args = arena.args(&mut syntax.split_whitespace().peekable());
    let info = raw::RedisModuleCommandInfo {
        version: &version,
        summary: arena.string(doc.summary),
        complexity: arena.string(doc.complexity),
        since: c"0.1.0".as_ptr(),
        history: null_mut(),
        tips: null(),
        arity: doc.arity,
        key_specs: specs.as_mut_ptr(),
        args: arena.list(args),
    };
    // SAFETY: the server copies all of it, and `arena` lives until it has.
    unsafe {
        pointer!(RedisModule_GetCommand, ctx.as_ptr(), name.as_ptr()).is_some_and(|command| {
            let command = command.as_ptr();
            status!(RedisModule_SetCommandInfo, command, &info).done() && categorize(command, doc.flags)
        })
    }
}

/// Puts the command into `@lock`, and into the categories of a core command with its flags. Redis 7.0 can't
/// do that: there a module's commands are in no category.
///
/// # Safety
/// `command` must be a command of this module.
unsafe fn categorize(command: *mut raw::RedisModuleCommand, flags: &str) -> bool {
    // SAFETY: the caller's word; the string ends in NUL. The function may be missing.
    let set = |names: &str| unsafe {
        match (raw::RedisModule_SetCommandACLCategories, CString::new(names)) {
            (Some(set), Ok(names)) => set(command, names.as_ptr()) == raw::REDISMODULE_OK as c_int,
            (function, _) => function.is_none(),
        }
    };
    let implied = categories(flags);
    // Not the effect commands: `+@lock` is for users of locks. Without the category (7.2) the other
    // categories must suffice.
    (!flags.contains("admin") && set(&format!("lock {implied}"))) || set(&implied)
}

fn categories(flags: &str) -> String {
    let has = |flag: &str| flags.split(' ').any(|word| word == flag);
    let implied = [
        (has("write"), "write"),
        (has("readonly"), "read"),
        (has("admin"), "admin dangerous"),
        (has("blocking"), "blocking"),
        (has("fast"), "fast"),
        (!has("fast"), "slow"),
    ];
    implied.into_iter().filter(|(applies, _)| *applies).map(|(_, name)| name).collect::<Vec<_>>().join(" ")
}

/// Adds the category `@lock` if the server lets modules do so (Redis 7.4, Valkey 8 and later). A refusal
/// means that the category exists, perhaps from a load that failed after this.
pub fn add_category(ctx: &Ctx) {
    // SAFETY: the pointers are valid; the function may be missing.
    unsafe {
        if let Some(add) = raw::RedisModule_AddACLCategory {
            add(ctx.as_ptr(), c"lock".as_ptr());
        }
    }
}

/// Returns whether the server asks for the positions of `numkeys key [key …]` instead of running the command.
/// It is then told the positions.
pub fn tell_keys(ctx: &Ctx, args: Args, access: Access) -> bool {
    // SAFETY: the context of the command.
    if unsafe { call!(RedisModule_IsKeysPositionRequest, ctx.as_ptr()) } == 0 {
        return false;
    }
    let available = args.len().saturating_sub(2);
    let count = args.get(1).and_then(|numkeys| parse_numkeys(numkeys.bytes(), available).ok()).unwrap_or(0);
    for position in 2..2 + count {
        // SAFETY: the position is that of an argument; the server has asked.
        unsafe {
            call!(RedisModule_KeyAtPosWithFlags, ctx.as_ptr(), position as c_int, key_flags(access) as c_int)
        };
    }
    true
}

fn key_flags(access: Access) -> u32 {
    match access {
        Access::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        Access::Update => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_UPDATE,
        Access::Delete => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_DELETE,
    }
}

fn key_spec(keys: Keys) -> raw::RedisModuleCommandKeySpec {
    // SAFETY: all fields may be zero.
    let mut spec = unsafe { std::mem::zeroed::<raw::RedisModuleCommandKeySpec>() };
    let (Keys::One(access) | Keys::Counted(access)) = keys else { return spec };
    spec.flags = u64::from(key_flags(access));
    spec.begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    spec.bs.index.pos = 1;
    // Fields that are not set are 0: no further key, no limit, and the number of keys at index 0.
    if let Keys::One(_) = keys {
        spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
        spec.fk.range.keystep = 1;
    } else {
        spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM;
        spec.fk.keynum.firstkey = 1;
        spec.fk.keynum.keystep = 1;
    }
    spec
}
