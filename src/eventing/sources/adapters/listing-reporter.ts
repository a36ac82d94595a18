/**
 * Says in an ObjectSource's status how the last look at its bucket went. Its controller makes a condition of that.
 */
import type { BucketProblem } from "#eventing/sources/buckets/bucket-problem.ts";
import { type BucketListing, type ObjectSource, objectSources } from "#eventing/sources/kinds.ts";
import type { SourceAdaptersContext } from "./adapter-context.ts";

/** Writes what is news. */
export class ListingReporter {
  readonly #context: SourceAdaptersContext;
  readonly #source: ObjectSource;
  #last: BucketListing | undefined;
  /** The last report said something new. */
  isNews = false;

  constructor(context: SourceAdaptersContext, source: ObjectSource) {
    this.#context = context;
    this.#source = source;
    this.#last = source.status?.listing;
  }

  async report(problem: BucketProblem | undefined, signal: AbortSignal): Promise<void> {
    const { generation = 0 } = this.#source.metadata ?? {};
    const fresh = { observedGeneration: generation, reason: problem?.reason, message: problem?.message };
    this.isNews = fresh.reason !== this.#last?.reason || fresh.message !== this.#last?.message;
    if (!this.isNews && this.#last?.observedGeneration === generation) return;
    const { namespace = "", name = "" } = this.#source.metadata ?? {};
    const ref = { resource: objectSources, namespace, name, subresource: "status" };
    const listing = { ...fresh, reason: fresh.reason ?? null, message: fresh.message ?? null };
    try {
      await this.#context.client.patch(ref, { type: "merge", body: { status: { listing } } }, { signal });
      this.#last = {
        observedGeneration: generation,
        ...(problem && { reason: problem.reason, message: problem.message }),
      };
    } catch (error) {
      signal.throwIfAborted();
      // Said again after the next look: there may be nobody to tell.
      this.#context.logger.info("Could not say how a look at a bucket went", { source: `${namespace}/${name}`, error });
    }
  }
}
