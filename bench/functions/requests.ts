/**
 * Requests of the bench of functions: one, and as many as can be had over some connections for a while.
 */
import { Agent, request } from "node:http";
import { quantile } from "./quantile.ts";

export type Target = {
  readonly host: string;
  readonly port: number;
  readonly path?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent?: Agent;
};

/** Milliseconds until the whole answer is there. Rejects unless it is 200. */
export function ask({ agent, ...target }: Target): Promise<number> {
  const begunMs = performance.now();
  return new Promise((resolve, reject) => {
    const asked = request({ ...target, agent: agent ?? false, timeout: 120_000 }, (answer) => {
      let text = "";
      answer.on("data", (piece: Buffer) => (text += String(piece)));
      answer.on("end", () => {
        if (answer.statusCode === 200) resolve(performance.now() - begunMs);
        else reject(new Error(`${answer.statusCode} ${text.trim()}`));
      });
      answer.on("error", reject);
    });
    asked.on("timeout", () => asked.destroy(new Error("no answer in two minutes")));
    asked.on("error", reject).end();
  });
}

/** What a load came to. */
export type Load = {
  readonly requests: number;
  readonly rate: number;
  readonly p50Ms: number;
  readonly cpuUs?: number;
};

/** As many requests as can be had over so many connections. */
export async function load(target: Target, connections: number, forMs: number): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const all: number[] = [];
  const begunMs = performance.now();
  const work = async () => {
    while (performance.now() - begunMs < forMs) all.push(await ask({ ...target, agent }));
  };
  await Promise.all(Array.from({ length: connections }, work));
  agent.destroy();
  return { requests: all.length, rate: (all.length * 1000) / (performance.now() - begunMs), p50Ms: quantile(all, 0.5) };
}
