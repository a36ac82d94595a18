/**
 * Says in each line of a function's log to which request it belongs. Part of what is bundled with a function's code: it runs in workerd as well as in Node.
 */
import { AsyncLocalStorage } from "node:async_hooks";

const levels = ["log", "debug", "info", "warn", "error"] as const;

/** Identifiers come from whoever asks: nothing but what may stand in a log. */
const foreign = /[^\w.:-]/g;
const longestId = 64;

/** Runs invocations so that what they say carries their identifier. */
export class InvocationLog {
  readonly #current = new AsyncLocalStorage<string>();

  /** Has `console` ask whose turn it is. What is said outside of a request stays as it is. */
  install(): void {
    for (const level of levels) {
      const say = console[level].bind(console) as (...parts: readonly unknown[]) => void;
      console[level] = (...parts: readonly unknown[]) => {
        const id = this.#current.getStore();
        if (id === undefined) say(...parts);
        else say(...withId(id, parts));
      };
    }
  }

  /** The engine gives each request an identifier; one that comes past it gets a new one. */
  run<T>(given: string | null | undefined, work: () => T): T {
    const id = (given ?? "").replace(foreign, "").slice(0, longestId);
    return this.#current.run(id === "" ? crypto.randomUUID() : id, work);
  }
}

// The first argument may be a format: the identifier, which has no per cent signs, goes before it.
function withId(id: string, [first, ...rest]: readonly unknown[]): readonly unknown[] {
  const mark = `[${id}]`;
  if (typeof first === "string") return [`${mark} ${first.replaceAll("\n", `\n${mark} `)}`, ...rest];
  if (first instanceof Error)
    return [`${mark} ${textOf(first).replaceAll("\n", `\n${mark} `).replaceAll("%", "%%")}`, ...rest];
  return rest.length === 0 && first === undefined ? [mark] : [mark, first, ...rest];
}

/** An error as it is logged: with its stack, which not everything that is thrown has. */
export function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)) : String(error);
}
