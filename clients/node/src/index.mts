// One copy of the code for `import` and `require`, so that `instanceof LockHeld` holds whoever loaded it first.
export * from "./index.js";
