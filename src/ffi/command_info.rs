//! A command's documentation, in the server's structures.

use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int};
use std::ptr::{null, null_mut};

use redis_lock_core::request::parse_numkeys;
use redis_module::raw;

use super::api::{call, pointer, status};
use super::arguments::Args;
use super::context::Ctx;
use super::doc::{Access, Arg, Doc, Keys, Kind};

/// Strings that live until the server has copied what points to them.
#[derive(Default)]
struct Arena {
    strings: Vec<CString>,
    args: Vec<Vec<raw::RedisModuleCommandArg>>,
}

impl Arena {
    fn string(&mut self, text: &str) -> *const c_char {
        let text = CString::new(text).unwrap_or_default();
        // What a CString points to does not move with it.
        let start = text.as_ptr();
        self.strings.push(text);
        start
    }

    fn args(&mut self, args: &[Arg]) -> *mut raw::RedisModuleCommandArg {
        if args.is_empty() {
            return null_mut();
        }
        // SAFETY: all fields may be zero: that is how the server marks the end of a list.
        let end = unsafe { std::mem::zeroed::<raw::RedisModuleCommandArg>() };
        let mut list: Vec<_> = args.iter().map(|arg| self.arg(arg)).collect();
        list.push(end);
        let start = list.as_mut_ptr();
        self.args.push(list);
        start
    }

    fn arg(&mut self, arg: &Arg) -> raw::RedisModuleCommandArg {
        let type_ = match arg.kind {
            Kind::Key => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
            Kind::Text => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
            Kind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
            Kind::Word => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
            Kind::OneOf => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
        };
        let flag = |on: bool, flag: u32| if on { flag as c_int } else { 0 };
        raw::RedisModuleCommandArg {
            name: self.string(arg.name),
            type_,
            key_spec_index: if arg.kind == Kind::Key { 0 } else { -1 },
            token: arg.token.map_or(null(), |token| self.string(token)),
            summary: null(),
            since: null(),
            flags: flag(arg.optional, raw::REDISMODULE_CMD_ARG_OPTIONAL)
                | flag(arg.multiple, raw::REDISMODULE_CMD_ARG_MULTIPLE),
            deprecated_since: null(),
            subargs: self.args(&arg.inner),
            display_text: null(),
        }
    }
}

/// Tells the server all about a command; false where it refuses.
pub fn describe(ctx: &Ctx, name: &CStr, flags: &str, doc: &Doc) -> bool {
    let mut arena = Arena::default();
    let version = raw::RedisModuleCommandInfoVersion {
        version: 1,
        sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
        sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
        sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
    };
    // SAFETY: a list that ends in a zeroed element; without keys that is the first.
    let mut specs = unsafe { std::mem::zeroed::<[raw::RedisModuleCommandKeySpec; 2]>() };
    if let Some(spec) = key_spec(doc) {
        specs[0] = spec;
    }
    let info = raw::RedisModuleCommandInfo {
        version: &version,
        summary: arena.string(doc.summary),
        complexity: arena.string(doc.complexity),
        since: arena.string(doc.since),
        history: null_mut(),
        tips: null(),
        arity: doc.arity,
        key_specs: specs.as_mut_ptr(),
        args: arena.args(&doc.args),
    };
    // SAFETY: the server copies all of it, and `arena` lives until it has.
    unsafe {
        pointer!(RedisModule_GetCommand, ctx.as_ptr(), name.as_ptr()).is_some_and(|command| {
            let command = command.as_ptr();
            status!(RedisModule_SetCommandInfo, command, &info).done() && categorize(command, flags)
        })
    }
}

/// Puts the command into `@lock` and into the categories that a core command with its flags is
/// in. Redis 7.0 has no way to; there a module's commands are in no category.
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
    // Not the effect commands: `+@lock` is for those who use locks. Without the category (7.2)
    // the others have to do.
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

/// Adds the category `@lock` where the server lets modules do that (Redis 7.4, Valkey 8 and
/// later). If it refuses, the category is there: from a load that failed after this, say.
pub fn add_category(ctx: &Ctx) {
    // SAFETY: the pointers are valid; the function may be missing.
    unsafe {
        if let Some(add) = raw::RedisModule_AddACLCategory {
            add(ctx.as_ptr(), c"lock".as_ptr());
        }
    }
}

/// Whether the server asks for the positions of `numkeys key [key …]` instead of running the
/// command: then it is told.
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

fn key_spec(doc: &Doc) -> Option<raw::RedisModuleCommandKeySpec> {
    // SAFETY: all fields may be zero.
    let mut spec = unsafe { std::mem::zeroed::<raw::RedisModuleCommandKeySpec>() };
    let (keys, access) = doc.keys?;
    spec.flags = u64::from(key_flags(access));
    spec.begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    spec.bs.index.pos = 1;
    match keys {
        Keys::First => {
            spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
            spec.fk.range.lastkey = 0;
            spec.fk.range.keystep = 1;
            spec.fk.range.limit = 0;
        }
        Keys::Counted => {
            spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM;
            spec.fk.keynum.keynumidx = 0;
            spec.fk.keynum.firstkey = 1;
            spec.fk.keynum.keystep = 1;
        }
    }
    Some(spec)
}
