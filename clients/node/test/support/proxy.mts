import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Stands between a client and a server, and can lose answers, or keep requests back. */
export class Proxy {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #losing: { command: string; then: () => void } | undefined;
  /** Lets nobody in. */
  refuses = false;
  /** Takes connections, and says nothing on them. */
  isSilent = false;
  #keeping: { command: string; until: Promise<void> } | undefined;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async start(target: number): Promise<Proxy> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const proxy = new Proxy(server);
    server.on("connection", (client) => {
      if (proxy.refuses) client.destroy();
      else if (proxy.isSilent) proxy.#hold(client);
      else proxy.#join(client, connect(target, "127.0.0.1"));
    });
    return proxy;
  }

  /** The next time that a client sends `command`, it is carried out, and the connection breaks before the answer. */
  loseAnswerTo(command: string): Promise<void> {
    return new Promise((then) => (this.#losing = { command, then }));
  }

  /** Keeps back the next `command` until the promise is fulfilled; what comes on other connections overtakes it. */
  keepBack(command: string, until: Promise<void>): void {
    this.#keeping = { command, until };
  }

  get connections(): number {
    return this.#sockets.size;
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(client: Socket, server: Socket): void {
    let losing: (() => void) | undefined;
    client.on("data", (data) => {
      if (this.#losing !== undefined && data.includes(this.#losing.command)) {
        losing = this.#losing.then;
        this.#losing = undefined;
      }
      if (this.#keeping !== undefined && data.includes(this.#keeping.command)) {
        void this.#keeping.until.then(() => server.write(data));
        this.#keeping = undefined;
      } else {
        server.write(data);
      }
    });
    server.on("data", (data) => {
      if (losing === undefined) return void client.write(data);
      client.destroy();
      losing();
    });
    for (const [socket, other] of [[client, server], [server, client]] as const) {
      this.#hold(socket);
      socket.on("close", () => other.destroy());
    }
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.resume(); // so that its end is seen
  }
}
