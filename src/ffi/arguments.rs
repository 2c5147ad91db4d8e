//! The server's strings, and the arguments of a command.

use std::marker::PhantomData;
use std::os::raw::c_int;

use redis_module::raw;

use super::api::call;

/// A string of the server, valid as long as its lender.
#[derive(Clone, Copy)]
pub struct Str<'a> {
    inner: *mut raw::RedisModuleString,
    lender: PhantomData<&'a ()>,
}

impl<'a> Str<'a> {
    /// # Safety
    /// `inner` must be a string of the server that lives for `'a`.
    pub unsafe fn from_raw(inner: *mut raw::RedisModuleString) -> Self {
        Str { inner, lender: PhantomData }
    }

    /// Returns the pointer, for calls of the API.
    pub fn as_ptr(self) -> *mut raw::RedisModuleString {
        self.inner
    }

    /// Returns its bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        let mut len = 0;
        // SAFETY: `inner` is valid for 'a (see `from_raw`), and the server does not change a string that it
        // has lent.
        unsafe {
            let start = call!(RedisModule_StringPtrLen, self.inner, &mut len);
            std::slice::from_raw_parts(start.cast::<u8>(), len)
        }
    }
}

/// A string made by the module.
pub struct OwnedStr(*mut raw::RedisModuleString);

impl OwnedStr {
    /// Copies these bytes, which may be of any kind.
    pub fn new(bytes: &[u8]) -> Self {
        // SAFETY: pointer and length are those of a slice; without a context the string is ours.
        OwnedStr(unsafe {
            call!(RedisModule_CreateString, std::ptr::null_mut(), bytes.as_ptr().cast(), bytes.len())
        })
    }

    /// # Safety
    /// `inner` must be a string of the server that the module must free.
    pub unsafe fn from_raw(inner: *mut raw::RedisModuleString) -> Self {
        OwnedStr(inner)
    }

    /// Lends the string.
    pub fn as_str(&self) -> Str<'_> {
        // SAFETY: it lives until `self` is dropped.
        unsafe { Str::from_raw(self.0) }
    }
}

impl Drop for OwnedStr {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe { call!(RedisModule_FreeString, std::ptr::null_mut(), self.0) }
    }
}

/// The arguments of a command; 0 is its name.
#[derive(Clone, Copy)]
pub struct Args<'a>(&'a [*mut raw::RedisModuleString]);

impl<'a> Args<'a> {
    /// # Safety
    /// `argv` must be what the server passes to a command: `argc` strings that live for `'a`.
    pub unsafe fn from_raw(argv: *mut *mut raw::RedisModuleString, argc: c_int) -> Self {
        // SAFETY: see above.
        Args(unsafe { std::slice::from_raw_parts(argv, usize::try_from(argc).unwrap_or(0)) })
    }

    /// Returns how many arguments there are, including the name.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Returns the argument at `index`.
    #[inline]
    pub fn get(self, index: usize) -> Option<Str<'a>> {
        // SAFETY: see `from_raw`.
        self.0.get(index).map(|&inner| unsafe { Str::from_raw(inner) })
    }

    /// Returns the arguments from `start` on.
    #[inline]
    pub fn from(self, start: usize) -> impl Iterator<Item = Str<'a>> + Clone {
        let rest = self.0.get(start..).unwrap_or(&[]);
        // SAFETY: see `from_raw`.
        rest.iter().map(|&inner| unsafe { Str::from_raw(inner) })
    }
}
