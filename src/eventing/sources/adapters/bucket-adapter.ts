/**
 * Sends an event for each object that comes into an ObjectSource's bucket of an S3-compatible service, changes there (another etag) or goes. The bucket is listed now and then, since few services tell of changes, and compared with
 * what was told; what that was is kept key by key. How the last look went is written into the source's status, from where its controller makes a condition.
 */
import { createHash } from "node:crypto";
import type { Secret } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { BucketClient } from "#eventing/sources/buckets/bucket-client.ts";
import { BucketProblem } from "#eventing/sources/buckets/bucket-problem.ts";
import { type BucketSettings, bucketSettings, pollMsOf } from "#eventing/sources/buckets/bucket-settings.ts";
import type { ListedObject } from "#eventing/sources/buckets/list-answer.ts";
import { type ListingScope, listingScope } from "#eventing/sources/buckets/listing-scope.ts";
import type { ObjectSource, S3Spec } from "#eventing/sources/kinds.ts";
import type { FoundObject, ObjectVerb } from "#eventing/sources/source-events.ts";
import type { SourceAdaptersContext } from "./adapter-context.ts";
import { contentTypeOf } from "./content-type.ts";
import { ListingReporter } from "./listing-reporter.ts";
import { ObjectPlaces } from "./object-places.ts";
import { maxContentBytes, type ObjectData, sendObject } from "./send-object.ts";

/** Keys that one source keeps in memory. */
const mostObjects = 100_000;
/** A list that is longer has no end. */
const mostPages = 10_000;
const firstRetryMs = 1000;
const longestRetryMs = 60_000;
const secrets = { group: "", version: "v1", resource: "secrets" };
/** What services call an object that nobody has said a type of. */
const anyTypes: ReadonlySet<string> = new Set(["application/octet-stream", "binary/octet-stream", ""]);

/** Looks at the bucket now and then, until the signal aborts. Rejects with its reason. */
export async function runBucket(
  context: SourceAdaptersContext,
  source: ObjectSource,
  signal: AbortSignal,
): Promise<void> {
  const { clock, logger } = context;
  const { metadata, spec = {} } = source;
  const pollMs = pollMsOf(spec.s3 ?? {});
  const reporter = new ListingReporter(context, source);
  const keys = new SecretKeeper(context, source);
  for (let retryMs = firstRetryMs; ; ) {
    const problem = await lookOnce(context, source, { keys, signal });
    await reporter.report(problem, signal);
    if (problem !== undefined && reporter.isNews)
      logger.warn("Could not look at a bucket", {
        objectsource: `${metadata?.namespace}/${metadata?.name}`,
        error: problem,
      });
    await clock.sleep(problem === undefined ? pollMs : Math.min(retryMs, Math.max(pollMs, firstRetryMs)), signal);
    retryMs = problem === undefined ? firstRetryMs : Math.min(retryMs * 2, longestRetryMs);
  }
}

/** What was in the way, if anything. */
async function lookOnce(
  context: SourceAdaptersContext,
  source: ObjectSource,
  { keys, signal }: { readonly keys: SecretKeeper; readonly signal: AbortSignal },
): Promise<BucketProblem | undefined> {
  try {
    const settings = bucketSettings(source.spec?.s3 ?? {}, await keys.read(signal));
    const look = new BucketLook(context, source, settings, signal);
    try {
      await look.run();
    } finally {
      await look.close();
    }
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BucketProblem) return error;
    throw error;
  }
}

/** One look at the whole bucket. */
class BucketLook {
  readonly #context: SourceAdaptersContext;
  readonly #source: ObjectSource;
  readonly #signal: AbortSignal;
  readonly #scope: ListingScope;
  readonly #known: ObjectPlaces;
  readonly #client: BucketClient;

  constructor(context: SourceAdaptersContext, source: ObjectSource, settings: BucketSettings, signal: AbortSignal) {
    this.#context = context;
    this.#source = source;
    this.#signal = signal;
    this.#scope = listingScope(source.spec ?? {});
    this.#known = new ObjectPlaces(context.places, source.metadata?.uid ?? "", `bucket ${settings.base}`);
    this.#client = new BucketClient({
      settings,
      clock: context.clock,
      lookup: context.lookup,
      forbids: context.forbids,
    });
  }

  async run(): Promise<void> {
    const { prefix, isFlat, wants } = this.#scope;
    const unseen = new Set(this.#known.keys());
    let from: string | undefined;
    for (let pages = 1; ; pages++) {
      const { objects, next } = await this.#client.list({ prefix, isFlat, from }, this.#signal);
      for (const object of objects) {
        if (!wants(object.key)) continue;
        unseen.delete(object.key);
        await this.#onFound(object);
      }
      await this.#known.flush();
      if (next === undefined) break;
      if (next === from || pages === mostPages)
        throw new BucketProblem("BadAnswer", `The list of the bucket does not end: ${pages} pages were read`);
      from = next;
    }
    // Only a list that was read to its end says what is gone.
    for (const key of unseen) await this.#onGone(key, wants(key));
    await this.#known.flush();
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #onFound(object: ListedObject): Promise<void> {
    const { key, etag, modifiedMs } = object;
    const before = this.#known.get(key)?.split(" ")[0];
    if (before === etag) return;
    if (before === undefined && this.#known.size >= mostObjects)
      throw new BucketProblem(
        "TooManyObjects",
        `The bucket has more than ${mostObjects} objects of interest: those beyond are not told of. A prefix or a pattern makes them fewer`,
      );
    await this.#send(before === undefined ? "created" : "updated", { ...object, identity: identityOf(object) });
    this.#known.set(key, `${etag} ${modifiedMs}`);
    // The first look at a large bucket takes long: it is not begun anew.
    await this.#known.flush();
  }

  /** Those that the source is not about any more are only forgotten. */
  async #onGone(key: string, isWanted: boolean): Promise<void> {
    const [etag = "", modified = ""] = (this.#known.get(key) ?? "").split(" ");
    const identity = identityOf({ key, etag, modifiedMs: Number(modified) });
    const gone = { key, sizeBytes: 0, etag, modifiedMs: this.#context.clock.now(), identity };
    if (isWanted) await this.#send("deleted", gone);
    this.#known.delete(key);
  }

  async #send(verb: ObjectVerb, object: FoundObject): Promise<void> {
    const read = () => this.#read(object);
    await sendObject(this.#context, this.#source, { verb, object }, { read, signal: this.#signal });
  }

  async #read(object: FoundObject): Promise<ObjectData | undefined> {
    const content = await this.#client.read(object, maxContentBytes, this.#signal);
    if (content === undefined) return undefined;
    const { bytes, type = "" } = content;
    return { bytes, type: anyTypes.has(type.toLowerCase()) ? contentTypeOf(object.key) : type };
  }
}

/** Two objects of the same bytes have the same etag; one that goes and comes again is another one. */
function identityOf({ key, etag, modifiedMs }: Pick<FoundObject, "key" | "etag" | "modifiedMs">): string {
  const hash = createHash("sha256").update(key).digest("hex").slice(0, 16);
  return `${hash}-${etag}-${modifiedMs}`;
}

/** The Secret of a source, as it is now; as it was while nobody can be asked. */
class SecretKeeper {
  readonly #context: SourceAdaptersContext;
  readonly #namespace: string;
  readonly #name: string | undefined;
  #last: Readonly<Record<string, string>> | undefined;

  constructor(context: SourceAdaptersContext, { metadata, spec }: ObjectSource) {
    this.#context = context;
    this.#namespace = metadata?.namespace ?? "";
    this.#name = secretOf(spec?.s3);
  }

  /** Undefined when none is named. Throws BucketProblem. */
  async read(signal: AbortSignal): Promise<Readonly<Record<string, string>> | undefined> {
    if (this.#name === undefined) return undefined;
    const ref = { resource: secrets, namespace: this.#namespace, name: this.#name };
    try {
      const { data = {} } = await this.#context.client.get<Secret>(ref, { signal });
      const texts = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()] as const);
      this.#last = Object.fromEntries(texts);
    } catch (error) {
      signal.throwIfAborted();
      if (hasReason(error, "NotFound")) throw noSecret(this.#name, error);
      if (this.#last === undefined) throw error;
    }
    return this.#last;
  }
}

function secretOf(spec: S3Spec | undefined): string | undefined {
  return spec?.secretRef?.name || undefined;
}

function noSecret(name: string, cause: unknown): BucketProblem {
  const make = `kubectl create secret generic ${name} --from-literal=AWS_ACCESS_KEY_ID=… --from-literal=AWS_SECRET_ACCESS_KEY=…`;
  return new BucketProblem("SecretNotFound", `Secret ${JSON.stringify(name)} does not exist: ${make}`, { cause });
}
