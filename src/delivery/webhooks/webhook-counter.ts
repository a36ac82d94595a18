/**
 * Counts what came from outside hosts, going on from what the Repository's status says. A flood is not written down one by one.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { RepositoryObject, WebhookCounts } from "#delivery/kinds.ts";

const writeEveryMs = 1000;

export class WebhookCounter {
  readonly #counts = new Map<string, WebhookCounts>();
  readonly #timers = new Map<string, Timer>();
  readonly #clock: Clock;
  readonly #onChange: (repository: RepositoryObject) => void;

  constructor(clock: Clock, onChange: (repository: RepositoryObject) => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  count(repository: RepositoryObject, what: "accepted" | "refused" | "repeated", why?: string): void {
    const uid = repository.metadata?.uid ?? "";
    const before = this.of(repository) ?? { accepted: 0, refused: 0, repeated: 0 };
    const lastRefusal = why === undefined ? {} : { lastRefusal: why.slice(0, 500) };
    this.#counts.set(uid, { ...before, [what]: before[what] + 1, ...lastRefusal });
    if (this.#timers.has(uid)) return;
    const tell = () => {
      this.#timers.delete(uid);
      this.#onChange(repository);
    };
    this.#timers.set(uid, this.#clock.setTimer(writeEveryMs, tell));
  }

  /** For the status. */
  of({ metadata, status }: RepositoryObject): WebhookCounts | undefined {
    return this.#counts.get(metadata?.uid ?? "") ?? status?.webhook;
  }
}
