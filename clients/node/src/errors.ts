/** What all errors of this package are. */
export abstract class LockError extends Error {}

/** Others hold the lock, or wait for it, and the time to wait is over. */
export class LockHeld extends LockError {
  override readonly name = "LockHeld";
}

/** The lock was ours and no longer is, or that is no longer certain. Stop working. */
export class LockLost extends LockError {
  override readonly name = "LockLost";
}

/** No answer, or none that decides: no connection, a frozen server, a cooldown, no memory. It may pass. */
export class LockUnavailable extends LockError {
  override readonly name = "LockUnavailable";
}

/** Asking again does not help: a wrong argument, no module, no permission, another type at the key. */
export class LockConfig extends LockError {
  override readonly name = "LockConfig";
}

/** To wait would close a circle: somebody waits for what this work holds. Release all of it, then begin anew. */
export class Deadlock extends LockError {
  override readonly name = "Deadlock";
}
