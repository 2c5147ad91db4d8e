import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "./eventually.mjs";

const VERSIONS = "/usr/lib/postgresql";
const binaries = existsSync(VERSIONS)
  ? readdirSync(VERSIONS)
      .map((version) => join(VERSIONS, version, "bin"))
      .filter((folder) => existsSync(join(folder, "postgres")))
  : [];

/** What is missing here, if anything is. */
export const MISSING = binaries.length === 0 && "no Postgres here: apt-get install postgresql brings its programs";

/** A Postgres of a test's own: on a unix socket in a temporary folder. It refuses to be root, so then it is nobody. */
export class Postgres {
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(folder: string, process: ChildProcess) {
    this.#folder = folder;
    this.#process = process;
  }

  static async start(): Promise<Postgres> {
    const folder = mkdtempSync("/tmp/redis-lock-pg-"); // a socket's path must be short
    const user = process.getuid?.() === 0 ? { uid: idOf("-u"), gid: idOf("-g") } : {};
    if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
    const options = { cwd: folder, ...user };
    const program = (name: string): string => join(binaries.at(-1)!, name);
    const data = join(folder, "data");
    execFileSync(program("initdb"), ["-D", data, "-A", "trust", "-U", "test", "--no-sync"], { ...options, stdio: "pipe" });
    const started = spawn(program("postgres"), ["-D", data, "-k", folder, "-c", "listen_addresses=", "-F"], { ...options, stdio: "ignore" });
    await eventually("Postgres is ready", () => spawnSync(program("pg_isready"), ["-q", "-h", folder]).status === 0, 30_000);
    return new Postgres(folder, started);
  }

  /** Tells a client where it is. */
  get env(): { PGHOST: string; PGUSER: string; PGDATABASE: string } {
    return { PGHOST: this.#folder, PGUSER: "test", PGDATABASE: "postgres" };
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGINT");
    await ended;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function idOf(option: "-u" | "-g"): number {
  return Number(execFileSync("id", [option, "nobody"]));
}
