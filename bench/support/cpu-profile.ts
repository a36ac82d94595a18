/**
 * A CPU profile of a process of Node that runs already: it is told to open its inspector (SIGUSR1), which listens on loopback until it ends.
 */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

/** The only port that a running process opens for it: one process at a time can be looked at. */
const inspectorPort = 9229;

export class CpuProfile {
  readonly #socket: WebSocket;
  readonly #file: string;
  #lastId = 0;

  private constructor(socket: WebSocket, file: string) {
    this.#socket = socket;
    this.#file = file;
  }

  /** Begins. `stop` writes the profile to `file`. */
  static async start(pid: number, file: string): Promise<CpuProfile> {
    process.kill(pid, "SIGUSR1");
    const socket = new WebSocket(await inspectorUrl(), { maxPayload: 1 << 28 });
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    const profile = new CpuProfile(socket, file);
    await profile.#call("Profiler.enable");
    await profile.#call("Profiler.setSamplingInterval", { interval: 200 });
    await profile.#call("Profiler.start");
    return profile;
  }

  async stop(): Promise<void> {
    const { profile } = (await this.#call("Profiler.stop")) as { profile: object };
    writeFileSync(this.#file, JSON.stringify(profile));
    this.#socket.close();
  }

  #call(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const hear = (data: WebSocket.RawData) => {
        const message = JSON.parse(String(data)) as { id?: number; result?: unknown };
        if (message.id !== id) return;
        this.#socket.off("message", hear);
        resolve(message.result);
      };
      this.#socket.on("message", hear);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}

async function inspectorUrl(): Promise<string> {
  for (let tries = 0; ; tries++) {
    await sleep(100);
    try {
      const list = await fetch(`http://127.0.0.1:${inspectorPort}/json/list`);
      const [target] = (await list.json()) as { webSocketDebuggerUrl: string }[];
      if (target !== undefined) return target.webSocketDebuggerUrl;
    } catch (error) {
      if (tries > 50) throw new Error("the process's inspector cannot be reached", { cause: error });
    }
  }
}
