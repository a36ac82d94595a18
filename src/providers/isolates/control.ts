/**
 * Speaks to a cage's loader over its control socket.
 */
import { request } from "node:http";
import type { IsolateCode } from "./loader.ts";

/** The code did not load. The message is the engine's; the isolate's log has it with its stack. */
export class LoadFailure extends Error {
  readonly kind = "LoadFailure";
}

/** Resolves when workerd answers at its control socket: from then on code is loaded at once. */
export async function waitUntilReady(socketPath: string, signal: AbortSignal): Promise<void> {
  // The socket listens before workerd runs, so this waits in its queue.
  await post(socketPath, "{}", signal);
}

/** Hands the code over. Throws {@link LoadFailure} when it cannot be loaded, and any other error when the process has ended. */
export async function loadCode(socketPath: string, code: IsolateCode, signal: AbortSignal): Promise<void> {
  const { status, text } = await post(socketPath, JSON.stringify(code), signal);
  if (status !== 200) throw new LoadFailure(text);
}

function post(
  socketPath: string,
  body: string,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { "content-length": Buffer.byteLength(body), connection: "close" };
    const call = request({ socketPath, method: "POST", path: "/", headers, signal, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => (text += chunk));
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    call.on("error", reject);
    call.end(body);
  });
}
