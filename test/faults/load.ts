/**
 * Users of the cluster's network who notice everything: requests through Services and lookups, one every few milliseconds, and what became of each.
 */
import { createSocket } from "node:dgram";
import { get } from "node:http";
import { encode } from "dns-packet";

/** What became of all requests of a kind. */
export type LoadReport = {
  readonly count: number;
  /** When it began, on the clock of `performance`. */
  readonly startMs: number;
  /** When, and what went wrong. */
  readonly failures: readonly string[];
  /** When the first answer came, in ms after the beginning. */
  readonly firstAnswerMs: number;
  /** The slowest that succeeded. */
  readonly longestMs: number;
  readonly p50Ms: number;
};

/** When what failed had been asked, in ms after the beginning. */
export function askedMs(failure: string): number {
  return Number(/\d+/.exec(failure)?.[0]);
}

/** A load that goes on until `stop`, which waits for what is under way. */
export type Load = { readonly stop: () => Promise<LoadReport> };

/** As glibc's resolver waits for an answer. */
export const timeoutMs = 5000;

/** A new connection for each request, as careless clients do. */
export function requestPage(url: string, everyMs: number): Load {
  return repeat(everyMs, () => {
    return new Promise((resolve, reject) => {
      const request = get(url, { agent: false, timeout: timeoutMs }, (answer) => {
        answer.resume();
        answer.once("error", reject);
        answer.once("end", () => {
          if (answer.statusCode === 200) resolve();
          else reject(new Error(`status ${answer.statusCode}`));
        });
      });
      request.once("timeout", () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      request.once("error", reject);
    });
  });
}

/** A question over UDP from a socket of its own, sent once: nothing hides a lost answer. */
export function lookUp(name: string, server: string, everyMs: number): Load {
  const packet = encode({ type: "query", id: 1, flags: 256, questions: [{ type: "A", class: "IN", name }] });
  return repeat(everyMs, () => {
    const socket = createSocket("udp4");
    return new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      socket.once("error", reject);
      socket.once("message", (answer) => {
        clearTimeout(timer);
        const code = (answer[3] ?? 0) & 15;
        if (code === 0 && (answer[7] ?? 0) > 0) resolve();
        else reject(new Error(`answer code ${code} with ${answer[7]} records`));
      });
      socket.connect(53, server, () => socket.send(packet));
    }).finally(() => socket.close());
  });
}

function repeat(everyMs: number, once: () => Promise<void>): Load {
  const startMs = performance.now();
  const tookMs: number[] = [];
  const failures: string[] = [];
  let firstAnswerMs = Number.POSITIVE_INFINITY;
  const open = new Set<Promise<void>>();
  const timer = setInterval(() => {
    const begunMs = performance.now();
    const attempt = once()
      .then(
        () => {
          tookMs.push(performance.now() - begunMs);
          firstAnswerMs = Math.min(firstAnswerMs, performance.now() - startMs);
        },
        (error: unknown) => void failures.push(`at ${Math.round(begunMs - startMs)} ms: ${(error as Error).message}`),
      )
      .finally(() => open.delete(attempt));
    open.add(attempt);
  }, everyMs);
  timer.unref(); // of a test that failed nobody stops it
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(open);
      tookMs.sort((a, b) => a - b);
      const at = (share: number) => Math.round(tookMs[Math.floor((tookMs.length - 1) * share)] ?? 0);
      const count = tookMs.length + failures.length;
      return { count, startMs, failures, firstAnswerMs, longestMs: at(1), p50Ms: at(0.5) };
    },
  };
}
