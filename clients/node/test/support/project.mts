import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

export const PACKAGE = resolve(import.meta.dirname, "../../..");

/** A user's project: the package installed as it is packed, beside the libraries that the user chose. */
export class Project {
  readonly folder = mkdtempSync(join(tmpdir(), "redis-lock-project-"));

  /** `libraries`: under which name which of this package's own development dependencies is there. */
  constructor(libraries: Readonly<Record<string, string>>) {
    const packed = this.npm(PACKAGE, "pack", "--ignore-scripts", "--silent", "--pack-destination", this.folder).trim();
    this.write("package.json", JSON.stringify({ name: "project", private: true }));
    this.npm(this.folder, "install", "--offline", "--silent", "--no-audit", "--no-fund", join(this.folder, packed));
    for (const [name, own] of Object.entries(libraries)) {
      const link = join(this.folder, "node_modules", name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(join(PACKAGE, "node_modules", own), link);
    }
    cpSync(join(PACKAGE, "examples"), this.folder, { recursive: true });
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Compiles one file as strictly as TypeScript can, libraries included where `libraries` says so. */
  compile(name: string, ...options: string[]): void {
    const tsc = join(PACKAGE, "node_modules/typescript/bin/tsc");
    const strict = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--module", "nodenext", "--target", "es2022"];
    this.#run(process.execPath, this.folder, [tsc, ...strict, "--lib", "es2022,esnext.disposable", "--types", "node", ...options, name]);
  }

  npm(folder: string, ...args: string[]): string {
    return this.#run("npm", folder, args);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #run(command: string, cwd: string, args: readonly string[]): string {
    try {
      return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    } catch (error) {
      const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
      throw new Error(`${command} ${args.join(" ")}: ${stdout}${stderr}`, { cause: error });
    }
  }
}
