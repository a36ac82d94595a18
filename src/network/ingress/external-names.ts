/**
 * Addresses of the names that Services of type ExternalName lead to: asked of the cluster's DNS, and asked again when the answer is out of date. What a name leads to on this machine itself, or on
 * its link, is left out: whoever may write a Service has no say over who reaches what listens there.
 */
import { BlockList, isIP } from "node:net";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Followed } from "#client/followed.ts";

/** What a name means for so long. Rejects when nobody can say. */
export type ResolveName = (
  name: string,
) => Promise<{ readonly addresses: readonly string[]; readonly ttlSeconds: number }>;

export type ExternalNamesOptions = { readonly resolve: ResolveName; readonly clock: Clock };

const leastTtlSeconds = 5;
const mostTtlSeconds = 300;
/** How long the first answers are waited for. */
const patienceMs = 2000;

type Known = { addresses: readonly string[] | undefined; timer: Timer | undefined; readonly asked: Promise<void> };

/** Keys are names of hosts, or addresses. */
export class ExternalNames implements Followed<readonly string[]> {
  readonly #options: ExternalNamesOptions;
  readonly #known = new Map<string, Known>();
  readonly #listeners = new Set<(key: string) => void>();

  constructor(options: ExternalNamesOptions) {
    this.#options = options;
  }

  want(keys: ReadonlySet<string>): void {
    for (const [name, { timer }] of this.#known) {
      if (keys.has(name)) continue;
      timer?.clear();
      this.#known.delete(name);
    }
    for (const name of keys) {
      if (this.#known.has(name)) continue;
      // The entry is there before the answer.
      const known: Known = {
        addresses: undefined,
        timer: undefined,
        asked: Promise.resolve().then(() => this.#ask(name, known)),
      };
      this.#known.set(name, known);
    }
  }

  find(name: string): readonly string[] | undefined {
    return this.#known.get(name)?.addresses;
  }

  async settled(signal: AbortSignal): Promise<void> {
    const all = Promise.all([...this.#known.values()].map(({ asked }) => asked));
    await Promise.race([all, this.#options.clock.sleep(patienceMs, signal)]);
  }

  onChange(listener: (name: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Never rejects: what was known last goes on as long as nobody says anything else. */
  async #ask(name: string, known: Known): Promise<void> {
    const answer = await this.#resolve(name).catch(() => undefined);
    if (this.#known.get(name) !== known) return;
    const before = known.addresses;
    if (answer !== undefined) known.addresses = answer.addresses.filter(isElsewhere).toSorted();
    const ttlSeconds = Math.min(Math.max(answer?.ttlSeconds ?? 0, leastTtlSeconds), mostTtlSeconds);
    known.timer = this.#options.clock.setTimer(ttlSeconds * 1000, () => void this.#ask(name, known));
    if (JSON.stringify(before) === JSON.stringify(known.addresses)) return;
    for (const listener of this.#listeners) listener(name);
  }

  async #resolve(name: string): ReturnType<ResolveName> {
    if (isIP(name) !== 0) return { addresses: [name], ttlSeconds: mostTtlSeconds };
    return await this.#options.resolve(name);
  }
}

/** Not the machine itself, its link, or nobody in particular. */
export function isElsewhere(address: string): boolean {
  if (isIP(address) !== 4) return false; // nothing here speaks IPv6 to backends yet
  const here = new BlockList();
  here.addSubnet("0.0.0.0", 8);
  here.addSubnet("127.0.0.0", 8);
  here.addSubnet("169.254.0.0", 16);
  here.addSubnet("224.0.0.0", 3);
  return !here.check(address);
}
