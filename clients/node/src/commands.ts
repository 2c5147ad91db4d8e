/** LOCK.ACQUIRE, or LOCK.MACQUIRE where there are several keys; the other two likewise. */
export function acquire(keys: readonly string[], owner: string, ttl: number, options: readonly string[]): string[] {
  return [...head("ACQUIRE", keys), owner, String(ttl), ...options];
}

export function extend(keys: readonly string[], owner: string, ttl: number): string[] {
  return [...head("EXTEND", keys), owner, String(ttl)];
}

export function release(keys: readonly string[], owner: string): string[] {
  return [...head("RELEASE", keys), owner];
}

function head(name: string, keys: readonly string[]): string[] {
  return keys.length === 1 ? [`LOCK.${name}`, ...keys] : [`LOCK.M${name}`, String(keys.length), ...keys];
}
