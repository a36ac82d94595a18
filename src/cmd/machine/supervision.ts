/**
 * How a cluster's processes watch over each other. Each listens on a Unix socket and keeps a connection to its peers; a connection that ends without a goodbye means that the
 * peer died, and who notices starts it again. No polling, no pid files that lie: a process is alive while its socket answers.
 *
 * Lines on the socket, from the listener: `{"pid":…,"role":…,"name":…}` first, then `{"ready":true}` when it is so, `{"stage":…}` for progress, `{"listening":[…]}` where a node takes requests (the last
 * one counts), `{"bye":true}` before it stops on purpose.
 * To the listener: `{"stop":"containers"}` stops the process with its containers, `{"stop":"process"}` leaves them running.
 */
import { mkdirSync, rmSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { lockFile } from "#linux/file-lock.ts";
import type { NodeListener } from "#network/ingress/node-listeners.ts";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";

/** Names the variable with the descriptor on which the process that starts another hears of its progress. */
export const progressVariable = "NODELESS_PROGRESS";

/** What a process does. */
export type ProcessRole = "control-plane" | "node" | "eventing";

/** What a process says of itself. */
export type PeerStatus = {
  readonly pid: number;
  readonly role: ProcessRole;
  readonly name: string;
  readonly isReady: boolean;
  /** Where a node takes requests for its Ingresses and the like. */
  readonly listening?: readonly NodeListener[];
};

/** How thoroughly to stop. */
export type StopMode = "containers" | "process";

/** A step of a start, for the user's progress display. */
export type StageMessage = {
  readonly stage: string;
  readonly state: "begin" | "done" | "failed";
  readonly detail?: string;
};

/** How long a peer may take to read the goodbye. */
const farewellMs = 500;

/** This process's end of the supervision. */
export class SupervisionServer {
  readonly #self: Omit<PeerStatus, "pid" | "isReady">;
  readonly #path: string;
  readonly #onStop: (mode: StopMode) => void;
  readonly #progress: number | undefined;
  readonly #connections = new Set<Socket>();
  readonly #history: object[] = [];
  #server: Server | undefined;

  constructor(
    path: string,
    self: { readonly role: ProcessRole; readonly name: string },
    onStop: (mode: StopMode) => void,
  ) {
    this.#path = path;
    this.#self = self;
    this.#onStop = onStop;
    const descriptor = process.env[progressVariable];
    this.#progress = descriptor === undefined ? undefined : Number(descriptor);
    delete process.env[progressVariable]; // it is ours, not our children's
  }

  /** Listens. Throws {@link AlreadyRunning} when a live process has the socket. */
  async listen(): Promise<void> {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    // Two that are started at once would each find nobody, and the second would take the first one's socket away.
    const lock = await lockFile(`${this.#path}.lock`);
    try {
      const other = await askPeer(this.#path);
      if (other) throw new AlreadyRunning(other);
      rmSync(this.#path, { force: true });
      const server = createServer((socket) => this.#accept(socket));
      this.#server = server;
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(this.#path, () => resolve());
      });
    } finally {
      lock.release();
    }
  }

  /** Tells everybody who watches, now and later, of progress. */
  stage(message: StageMessage): void {
    this.#tell(message);
  }

  /** Tells everybody that this process is ready. */
  ready(): void {
    this.#tell({ ready: true });
  }

  /** Tells everybody where this process takes requests, in place of what it said before. */
  listening(listeners: readonly NodeListener[]): void {
    const before = this.#history.findIndex((message) => "listening" in message);
    if (before >= 0) this.#history.splice(before, 1);
    this.#tell({ listening: listeners });
  }

  /** Says goodbye, so that nobody starts this process again, and closes. */
  async close(): Promise<void> {
    const server = this.#server;
    if (!server) return; // the socket is somebody else's
    this.#tell({ bye: true });
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#connections) socket.end();
    // A peer that hangs does not close its end.
    await Promise.race([closed, sleep(farewellMs, undefined, { ref: false })]);
    for (const socket of this.#connections) socket.destroy();
  }

  #tell(message: object): void {
    this.#history.push(message);
    this.#report(message);
    for (const socket of this.#connections) socket.write(`${JSON.stringify(message)}\n`);
  }

  /** Progress for the process that started this one, as long as it listens. */
  #report(message: object): void {
    if (this.#progress === undefined) return;
    try {
      writeSync(this.#progress, `${JSON.stringify(message)}\n`);
    } catch {
      // whoever asked has gone, as it does once this process is ready
    }
  }

  #accept(socket: Socket): void {
    this.#connections.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#connections.delete(socket));
    socket.write(
      `${[{ ...this.#self, pid: process.pid }, ...this.#history].map((message) => JSON.stringify(message)).join("\n")}\n`,
    );
    onMessages(socket, (message) => {
      if (message.stop === "containers" || message.stop === "process") this.#onStop(message.stop);
    });
  }
}

/** The process is there already. */
export class AlreadyRunning extends Error {
  readonly kind = "AlreadyRunning";
  readonly peer: PeerStatus;
  constructor(peer: PeerStatus) {
    super(`${peer.role} ${peer.name} runs already as process ${peer.pid}`);
    this.peer = peer;
  }
}

/** Somebody has the socket and says nothing: a process that hangs or was stopped by a signal. */
export class PeerSilent extends Error {
  readonly kind = "PeerSilent";
  constructor(path: string) {
    super(`the process that listens on ${path} does not answer`);
  }
}

/** What happens to a peer that is watched. */
export type PeerHandlers = {
  readonly onStage?: (message: StageMessage) => void;
  readonly onReady?: () => void;
  /** The connection ended. `wasGoodbye`: on purpose. */
  readonly onEnd?: (wasGoodbye: boolean) => void;
  /** How long it may take to say who it is. Default 5 s: machines can be busy. */
  readonly helloMs?: number;
};

/** A connection to a process that lives. */
export type Peer = {
  readonly status: () => PeerStatus;
  /** Asks it to stop; resolves when it has gone. */
  readonly stop: (mode: StopMode) => Promise<void>;
  /** Watches it no longer. */
  readonly leave: () => void;
};

/** Connects to the process behind a socket. Undefined when none lives there; throws {@link PeerSilent}. */
export function watchPeer(path: string, handlers: PeerHandlers = {}): Promise<Peer | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const patience = setTimeout(() => {
      reject(new PeerSilent(path));
      socket.destroy();
    }, handlers.helloMs ?? 5000);
    let status: PeerStatus | undefined;
    let wasGoodbye = false;
    let isLeft = false;
    const ended = new Promise<void>((done) => socket.once("close", () => done()));
    const peer: Peer = {
      status: () => status as PeerStatus,
      stop: async (mode) => {
        socket.write(`${JSON.stringify({ stop: mode })}\n`);
        await ended;
      },
      leave: () => {
        isLeft = true;
        socket.destroy();
      },
    };
    onMessages(socket, (message) => {
      if (message.pid !== undefined) {
        clearTimeout(patience);
        status = { ...(message as Omit<PeerStatus, "isReady">), isReady: false };
        resolve(peer);
      } else if (message.listening !== undefined && status) status = { ...status, listening: message.listening };
      else if (message.ready === true && status) {
        status = { ...status, isReady: true };
        handlers.onReady?.();
      } else if (message.stage !== undefined) handlers.onStage?.(message as StageMessage);
      else if (message.bye === true) wasGoodbye = true;
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      clearTimeout(patience);
      if (status && !isLeft) handlers.onEnd?.(wasGoodbye);
      resolve(undefined);
    });
  });
}

/** What the process behind a socket says of itself, or undefined when none lives there. Throws {@link PeerSilent}. */
export async function askPeer(path: string): Promise<PeerStatus | undefined> {
  const peer = await watchPeer(path);
  if (!peer) return undefined;
  // The ready line comes in the same packet as the first one, if it comes at all.
  await new Promise((resolve) => setImmediate(resolve));
  const status = peer.status();
  peer.leave();
  return status;
}

/** A question for a sign of life. */
export type Probe = {
  /** Resolves with whom the sign is from, or with undefined when nobody is there; not at all while the process hangs. Never rejects. */
  readonly answered: Promise<number | undefined>;
  readonly cancel: () => void;
};

/** Asks whoever is behind a socket for a sign of life, which is the greeting that everybody gets: processes of older versions give it too. */
export function probePeer(path: string): Probe {
  const socket = createConnection(path);
  const { promise: answered, resolve } = Promise.withResolvers<number | undefined>();
  onMessages(socket, ({ pid }) => pid !== undefined && resolve(pid));
  socket.on("error", () => socket.destroy());
  socket.on("close", () => resolve(undefined));
  return { answered, cancel: () => socket.destroy() };
}

type Message = {
  readonly pid?: number;
  readonly ready?: boolean;
  readonly stage?: string;
  readonly bye?: boolean;
  readonly listening?: readonly NodeListener[];
  readonly stop?: string;
};

function onMessages(socket: Socket, take: (message: Message) => void): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const message = parse(line);
      if (message) take(message);
    }
  });
}

function parse(line: string): Message | undefined {
  try {
    return JSON.parse(line) as Message;
  } catch {
    return undefined;
  }
}
