import { inspect } from "node:util";
import { LockConfig } from "./errors.js";

/** Milliseconds, or a number with its unit: "500ms", "30s", "1m", "2h". */
export type Duration = number | string;

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** The longest time that a timer of Node.js takes, nearly 25 days. */
export const MAX_MS = 2 ** 31 - 1;

/** Whole milliseconds, rounded up. `what` names the option in the error. */
export function milliseconds(what: string, value: unknown, least: number): number {
  const ms = Math.ceil(parse(value));
  if (ms >= least && ms <= MAX_MS) return ms;
  throw new LockConfig(
    `${what} is ${show(value)}: it must be ${least} to ${MAX_MS} milliseconds, as a number or with its unit ("500ms", "30s", "1m", "2h")`,
  );
}

function parse(value: unknown): number {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return Number.NaN;
  const [, digits, unit] = /^(\d+(?:\.\d+)?) ?(ms|s|m|h)$/.exec(value) ?? [];
  return Number(digits) * (UNITS[unit ?? ""] ?? Number.NaN);
}

/** A value as it would stand in a program. */
export function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : inspect(value, { depth: 1, breakLength: Infinity });
}
