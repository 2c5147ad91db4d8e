/** The server, or the servers, behind the user's client: all that locks need of it. */
export interface Server {
  /** What the client puts before each key. */
  readonly keyPrefix: string;
  /** Sends a command on the connections that the program shares. `key` says which node of a cluster gets it. */
  send(key: string, command: readonly string[]): Promise<unknown>;
  /** A connection that nothing else uses, to the server that has `key`. It is made with the first command. */
  open(key: string): Connection;
  /** No answer came, and none may come any more: in a cluster, lets the client ask who has `key` now. */
  lookAgain(key: string): void;
  /** Whether the user has closed the client, or not opened it yet. */
  closed(): boolean;
}

export interface Connection {
  send(command: readonly string[]): Promise<unknown>;
  /** At once, whatever is under way. Nothing of it keeps the program from ending. */
  close(): void;
}
