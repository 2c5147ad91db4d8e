import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { eventually } from "./eventually.mjs";

/** A program of a test's own in a process of its own. */
export class Program {
  output = "";
  readonly #process: ChildProcess;

  constructor(path: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
    this.#process = spawn(process.execPath, [path, ...args], { env: { ...process.env, ...env }, stdio: "pipe" });
    this.#process.stdout!.on("data", (data) => (this.output += data));
    this.#process.stderr!.on("data", (data) => (this.output += data));
  }

  /** One of test/programs. */
  static own(name: string, ...args: string[]): Program {
    return new Program(join(import.meta.dirname, "../programs", name), args);
  }

  get over(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  async says(text: string | RegExp, ms = 20_000): Promise<void> {
    const said = (): boolean => (typeof text === "string" ? this.output.includes(text) : text.test(this.output));
    await eventually(`the program says ${text}, or ends`, () => said() || this.over, ms);
    if (!said()) throw new Error(`the program ended and did not say ${text}, but: ${this.output}`);
  }

  tell(text: string): void {
    this.#process.stdin!.write(`${text}\n`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Its exit status, once it has ended by itself. */
  async ends(ms = 20_000): Promise<number | null> {
    await eventually(`the program ends; it said: ${this.output}`, () => this.over, ms);
    return this.#process.exitCode;
  }

  async kill(): Promise<void> {
    if (this.over) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }
}
