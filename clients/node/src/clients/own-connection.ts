import type { Connection } from "../server.js";

/** A client of the user's library that this package made for itself. */
export interface OwnClient {
  connect(): Promise<unknown>;
  send(command: readonly string[]): Promise<unknown>;
  destroy(): void;
}

/** Makes the client with the first command. A close before that, or in the midst of it, leaves nothing open. */
export class OwnConnection implements Connection {
  readonly #make: () => OwnClient | Promise<OwnClient>;
  #ready: Promise<OwnClient> | undefined;
  #client: OwnClient | undefined;
  #isClosed = false;
  #fail: (error: Error) => void = () => {};
  readonly #closed = new Promise<never>((_, reject) => (this.#fail = reject));

  constructor(make: () => OwnClient | Promise<OwnClient>) {
    this.#make = make;
    this.#closed.catch(() => {}); // told to whoever sends
  }

  send(command: readonly string[]): Promise<unknown> {
    this.#ready ??= this.#connect();
    return Promise.race([this.#closed, this.#ready.then((client) => client.send(command))]);
  }

  close(): void {
    this.#isClosed = true;
    this.#fail(new Error("its connection was closed"));
    this.#client?.destroy();
  }

  async #connect(): Promise<OwnClient> {
    const client = await this.#make();
    if (this.#isClosed) throw new Error("its connection was closed before it was open");
    this.#client = client;
    await client.connect();
    return client;
  }
}
