import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createClient } from "redis6";
import { type Certificates, TLS_SERVER } from "./certificates.mjs";
import { eventually } from "./eventually.mjs";

const PACKAGE = resolve(import.meta.dirname, "../../..");
const MODULE = process.env["REDIS_LOCK_MODULE"] ?? resolve(PACKAGE, "../../target/release/libredis_lock.so");
export const SERVER = process.env["REDIS_SERVER"] || "redis-server";

export interface Settings {
  /** Without it the server has no lock commands. */
  module?: boolean;
  /** The port to listen on: a free one if not given. */
  port?: number;
  /** It talks TLS too, at a port of its own. */
  certificates?: Certificates;
  /** More arguments of redis-server. */
  args?: readonly string[];
}

/** A redis-server of a test's own, with the module, in a folder of its own. */
export class TestServer {
  readonly port: number;
  /** 0 without TLS. */
  readonly tlsPort: number;
  readonly folder: string;
  readonly #program: string;
  readonly #args: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(port: number, tlsPort: number, folder: string, args: readonly string[]) {
    this.port = port;
    this.tlsPort = tlsPort;
    this.folder = folder;
    this.#program = (tlsPort > 0 && TLS_SERVER) || SERVER;
    this.#args = args;
  }

  static async start({ module = true, port, certificates, args = [] }: Settings = {}): Promise<TestServer> {
    if (module && !existsSync(MODULE)) {
      throw new Error(`no module at ${MODULE}: build it with make build, or say where it is with REDIS_LOCK_MODULE`);
    }
    const folder = mkdtempSync(join(tmpdir(), "redis-lock-node-"));
    const free = port ?? (await freePort());
    const tlsPort = certificates === undefined ? 0 : await freePort();
    const base = ["--port", String(free), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--loglevel", "warning"];
    const tls = certificates?.ofServer(tlsPort) ?? [];
    const server = new TestServer(free, tlsPort, folder, [...base, ...tls, ...(module ? ["--loadmodule", MODULE] : []), ...args]);
    await server.run();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#process!.pid!;
  }

  async run(): Promise<void> {
    this.#process = spawn(this.#program, [...this.#args], { stdio: ["ignore", "ignore", "inherit"] });
    await eventually("the server answers PING", async () => (await this.ask("PING")) === "PONG");
  }

  /** One command, on a connection of its own. */
  async ask<T = unknown>(...command: string[]): Promise<T> {
    const client = createClient({ url: this.url, RESP: 3, socket: { reconnectStrategy: false } });
    client.on("error", () => {});
    await client.connect();
    try {
      return await client.sendCommand<T>(command);
    } finally {
      client.destroy();
    }
  }

  /** How many hold the lock, and how many stand in line. */
  async standing(key: string): Promise<{ holders: number; waiters: number }> {
    const info = await this.ask<{ holders: unknown[]; waiters: unknown[] } | null>("LOCK.INFO", key);
    return { holders: info?.holders.length ?? 0, waiters: info?.waiters.length ?? 0 };
  }

  async untilWaiting(key: string, waiters: number): Promise<void> {
    await eventually(`${waiters} wait for ${key}`, async () => (await this.standing(key)).waiters === waiters);
  }

  async untilFree(key: string, ms = 10_000): Promise<void> {
    const free = async (): Promise<boolean> => (await this.ask("LOCK.INFO", key)) === null;
    await eventually(`nobody holds ${key} or waits for it`, free, ms);
  }

  /** Until this replica has all that its master has now. */
  async untilCaughtUp(master: TestServer): Promise<void> {
    const wanted = await master.offset();
    await eventually("the replica has what its master has", async () => (await this.offset()) >= wanted, 30_000);
  }

  async offset(): Promise<number> {
    return Number(/master_repl_offset:(\d+)/.exec(await this.ask<string>("INFO", "replication"))![1]);
  }

  /** How many connections there are, but the one that asks. */
  async connections(): Promise<number> {
    const list = await this.ask<string>("CLIENT", "LIST", "TYPE", "normal");
    return list.trim().split("\n").length - 1;
  }

  freeze(): void {
    process.kill(this.pid, "SIGSTOP");
  }

  thaw(): void {
    process.kill(this.pid, "SIGCONT");
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    const running = this.#process!;
    if (running.exitCode === null && running.signalCode === null) {
      const ended = once(running, "exit");
      running.kill("SIGKILL");
      await ended;
    }
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// Below the ports that the system gives out by itself, also those of a cluster's bus, and never twice: a server that was killed
// finds its own still free, and no other test's server answers in its place. Processes begin at different places.
const ports = { next: 10_000 + (process.pid % 80) * 101 };

export async function freePort(): Promise<number> {
  for (;;) {
    const port = ports.next++;
    // A node of a cluster also listens 10000 above.
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  probe.listen(port, "127.0.0.1");
  const free = await Promise.race([
    once(probe, "listening").then(() => true),
    once(probe, "error").then(() => false),
  ]).catch(() => false);
  if (free) await new Promise((resolve) => probe.close(resolve));
  return free;
}
