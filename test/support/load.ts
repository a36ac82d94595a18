/**
 * Requests one after another, as long as a test does something else: who watches whether a Service is there all the time.
 */
import { Agent, get } from "node:http";

/** What came of the requests. */
export type LoadResult = { readonly count: number; readonly failures: readonly string[] };

export type Load = {
  /** Ends it; resolves when the last request has its answer. */
  stop(): Promise<LoadResult>;
};

const patienceMs = 10_000;
/** Between two requests of one client. */
const pauseMs = 5;

/** Begins to ask for `url` by so many clients at once (4), a connection for each request unless they keep theirs. Anything but 200 is a failure. */
export function startLoad(
  url: string,
  { clients = 4, keepAlive = false }: { readonly clients?: number; readonly keepAlive?: boolean } = {},
): Load {
  const agent = keepAlive && new Agent({ keepAlive, maxSockets: clients });
  const failures: string[] = [];
  let count = 0;
  let isOver = false;
  const begunMs = performance.now();
  const client = async () => {
    while (!isOver) {
      const failure = await ask(url, agent);
      count++;
      if (failure !== undefined) failures.push(`${Math.round(performance.now() - begunMs)} ms: ${failure}`);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  const all = Promise.all(Array.from({ length: clients }, client));
  return {
    async stop() {
      isOver = true;
      await all;
      if (agent) agent.destroy();
      return { count, failures };
    },
  };
}

function ask(url: string, agent: Agent | false): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = get(url, { agent, timeout: patienceMs }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode === 200 ? undefined : `status ${answer.statusCode}`));
      answer.on("error", (error) => resolve(String(error)));
    });
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    asked.on("error", (error) => resolve(String(error)));
  });
}
