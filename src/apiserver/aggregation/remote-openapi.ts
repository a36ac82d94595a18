/**
 * The OpenAPI v2 documents of other servers, asked for when somebody asks for ours: kubectl up to 1.30 checks manifests against it.
 */
import { parseJsonSteps } from "#apimachinery/codecs/json-pieces.ts";
import { Slices } from "#apiserver/negotiation/slices.ts";
import { encodeOpenApiV2 } from "#apiserver/openapi/openapi-v2-protobuf.ts";
import { type RemoteSpec, specBelow } from "#apiserver/openapi/merge-openapi-v2.ts";
import type { Clock } from "#component-base/clock.ts";
import { aggregatorUser, type RemoteApi } from "./remote-api.ts";
import { readBytes } from "./remote-documents.ts";

/** Largest document that is read, in bytes. */
const maxBytes = 16 << 20;
/** As often as kube-aggregator asks. */
const freshMs = 60_000;
/** Whoever asks for ours waits for it. */
const timeoutMs = 5000;

/** One server's document: what it was when it was last had. */
export class RemoteOpenApi {
  readonly #api: RemoteApi;
  readonly #clock: Clock;
  #spec: RemoteSpec | undefined;
  #etag: string | undefined;
  #askedMs = -Infinity;
  #asking: Promise<void> | undefined;

  constructor(api: RemoteApi, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
  }

  /** The part that is served here, at most a minute old while its server answers; undefined when it never could be had. The same object as long as it is the same. */
  async spec(isAvailable: boolean): Promise<RemoteSpec | undefined> {
    if (isAvailable && this.#clock.now() - this.#askedMs >= freshMs)
      this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
    await this.#asking;
    return this.#spec;
  }

  async #ask(): Promise<void> {
    this.#askedMs = this.#clock.now();
    try {
      await this.#read();
    } catch {
      // As it was; many servers have none.
    }
  }

  async #read(): Promise<void> {
    const { group = "", version = "" } = this.#api.apiService.spec ?? {};
    const response = await this.#api.send({
      method: "GET",
      path: "/openapi/v2",
      user: aggregatorUser,
      headers: {
        accept: "application/json",
        ...(this.#etag === undefined ? {} : { "if-none-match": this.#etag }),
      },
      signal: AbortSignal.timeout(timeoutMs),
    });
    const bytes = await readBytes(response, maxBytes);
    if (response.statusCode !== 200) return;
    const spec = specBelow(await parsed(bytes), `/apis/${group}/${version}/`);
    // What cannot be written is refused here, not when it is in everybody's document.
    await encodeOpenApiV2(spec, new Slices());
    this.#spec = spec;
    this.#etag = response.headers.etag;
  }
}

/** Parsed with room for others between: such documents have megabytes. */
async function parsed(bytes: Buffer): Promise<unknown> {
  const steps = parseJsonSteps(bytes);
  const slices = new Slices();
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value.value;
    if (slices.isOver()) await slices.next();
  }
}
