import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// Not every build talks TLS. Which server it is does not matter here: the connections are what is tested.
const CANDIDATES = [process.env["REDIS_SERVER"] || "redis-server", "redis-server"];

/** A server that misses the certificate, and not the support. */
export const TLS_SERVER = CANDIDATES.find((server) => {
  const { stdout } = spawnSync(server, ["--port", "0", "--tls-port", "1"], { encoding: "utf8", timeout: 10_000 });
  return stdout?.includes("No tls-cert-file configured");
});

/** What is missing here, if anything is. */
export function missing(): string | false {
  if (spawnSync("openssl", ["version"]).error !== undefined) return "no openssl here: apt-get install openssl";
  return TLS_SERVER === undefined && "no server here that was built with TLS: apt-get install redis-server";
}

/** What a client is told of TLS, in the words of Node.js. */
export interface Tls {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** An authority of the tests' own, made by openssl, and what it signed for a server at localhost and for a client. */
export class Certificates {
  readonly #folder = mkdtempSync(join(tmpdir(), "redis-lock-certificates-"));

  constructor() {
    writeFileSync(join(this.#folder, "openssl.cnf"), "[req]\ndistinguished_name = name\n[name]\n");
    this.#make("ca", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign");
    const signed = ["-CA", "ca.crt", "-CAkey", "ca.key"];
    this.#make("server", "subjectAltName=DNS:localhost,IP:127.0.0.1", ...signed);
    this.#make("client", "basicConstraints=CA:FALSE", ...signed);
  }

  /** Arguments of a server that lets nobody in at this port without a certificate, other servers included. */
  ofServer(port: number): string[] {
    const files = { "--tls-cert-file": "server.crt", "--tls-key-file": "server.key", "--tls-ca-cert-file": "ca.crt" };
    const paths = Object.entries(files).flatMap(([option, file]) => [option, join(this.#folder, file)]);
    return ["--tls-port", String(port), ...paths, "--tls-cluster", "yes", "--tls-replication", "yes"];
  }

  ofClient(): Tls {
    const read = (file: string): Buffer => readFileSync(join(this.#folder, file));
    return { ca: read("ca.crt"), cert: read("client.crt"), key: read("client.key") };
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #make(name: string, extension: string, ...options: string[]): void {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${name}.key`];
    const certificate = ["-x509", "-days", "2", "-subj", `/CN=${name}`, "-out", `${name}.crt`, "-addext", extension];
    const all = ["req", "-config", "openssl.cnf", ...key, ...certificate, ...options];
    execFileSync("openssl", all, { cwd: this.#folder, stdio: "pipe" });
  }
}
