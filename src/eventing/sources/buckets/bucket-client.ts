/**
 * Asks an S3-compatible service about one bucket: lists it page by page, reads an object. Signatures (SigV4) are `aws4fetch`'s. Whatever goes wrong is a BucketProblem in bounded time and memory; redirects are told, not followed.
 */
import { AwsV4Signer } from "aws4fetch";
import { lookup as findHost } from "node:dns";
import { Agent, request } from "undici";
import type { Clock } from "#component-base/clock.ts";
import { checkHost, type Forbids, guardedLookup, type Lookup } from "#eventing/dispatcher/reach.ts";
import { BucketProblem, type BucketReason } from "./bucket-problem.ts";
import type { BucketSettings } from "./bucket-settings.ts";
import { findServiceError, type ListPage, readListPage } from "./list-answer.ts";

/** What a client works with. */
export type BucketClientOptions = {
  readonly settings: BucketSettings;
  readonly clock: Clock;
  /** Default: the machine's resolver. */
  readonly lookup?: Lookup | undefined;
  /** Addresses that nothing is asked at. Default: none. */
  readonly forbids?: Forbids | undefined;
};

/** What to list. */
export type ListOptions = {
  readonly prefix: string;
  /** Leave out what has a slash behind the prefix. */
  readonly isFlat: boolean;
  /** From the page before; absent: the first one. */
  readonly from: string | undefined;
};

/** An object's bytes, and what the service calls them. */
export type ObjectContent = { readonly bytes: Uint8Array; readonly type: string | undefined };

type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
};

const timeoutMs = 30_000;
const connectTimeoutMs = 10_000;
/** A thousand keys of 1,024 characters, each written as three. */
const mostListBytes = 5 << 20;
/** Pages are read in one piece, on the thread that events go through. */
const keysPerPage = 250;
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** A client of one bucket. Close it. */
export class BucketClient {
  readonly #options: BucketClientOptions;
  readonly #agent: Agent;

  constructor(options: BucketClientOptions) {
    this.#options = options;
    const { settings, forbids } = options;
    const lookup = forbids === undefined ? options.lookup : guardedLookup(options.lookup ?? findHost, forbids);
    const ca = settings.caCerts;
    const connect = { timeout: connectTimeoutMs, ...(lookup && { lookup }), ...(ca !== undefined && { ca }) };
    this.#agent = new Agent({ connections: 2, pipelining: 1, connect });
  }

  /** A page. Throws BucketProblem, or the signal's reason. */
  async list({ prefix, isFlat, from }: ListOptions, signal: AbortSignal): Promise<ListPage> {
    const query = {
      ...(from !== undefined && { "continuation-token": from }),
      ...(isFlat && { delimiter: "/" }),
      "encoding-type": "url",
      "list-type": "2",
      "max-keys": String(keysPerPage),
      ...(prefix !== "" && { prefix }),
    };
    const text = Object.entries(query).map(([name, value]) => `${name}=${encode(value)}`);
    const answer = await this.#get(`/?${text.join("&")}`, { mostBytes: mostListBytes, signal });
    if (answer.status !== 200) throw this.#refusal(answer);
    return readListPage(answer.body.toString());
  }

  /** The object as long as it has this etag; undefined when it has gone, is another one, or has more bytes. Throws BucketProblem, or the signal's reason. */
  async read(
    object: { readonly key: string; readonly etag: string },
    mostBytes: number,
    signal: AbortSignal,
  ): Promise<ObjectContent | undefined> {
    const parts = object.key.split("/");
    // No URL can name these.
    if (parts.includes(".") || parts.includes("..")) return undefined;
    const headers = { "if-match": `"${object.etag}"` };
    const answer = await this.#get(`/${parts.map(encode).join("/")}`, { headers, mostBytes, signal }).catch(
      (error: unknown) => {
        if (error instanceof TooLong) return undefined;
        throw error;
      },
    );
    if (answer === undefined || answer.status === 404 || answer.status === 412) return undefined;
    if (answer.status !== 200) throw this.#refusal(answer);
    const type = answer.headers["content-type"];
    return { bytes: answer.body, type: typeof type === "string" ? type : undefined };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #get(
    path: string,
    options: {
      readonly headers?: Readonly<Record<string, string>>;
      readonly mostBytes: number;
      readonly signal: AbortSignal;
    },
  ): Promise<Answer> {
    const { headers = {}, mostBytes, signal } = options;
    const url = `${this.#options.settings.base}${path}`;
    try {
      if (this.#options.forbids) checkHost(new URL(url).hostname, this.#options.forbids);
      const answer = await request(url, {
        headers: await this.#signed(url, headers),
        dispatcher: this.#agent,
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
      const body = await readBody(answer.body, mostBytes);
      return { status: answer.statusCode, headers: answer.headers, body };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof TooLong) throw error;
      const { message, code } = error as NodeJS.ErrnoException;
      const what = `${new URL(url).origin} does not answer: ${message || code || String(error)}`;
      throw new BucketProblem("Unreachable", what, { cause: error });
    }
  }

  async #signed(url: string, headers: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    const { settings, clock } = this.#options;
    const { keys, region } = settings;
    if (keys === undefined) return { ...headers };
    const datetime = `${new Date(clock.now()).toISOString().replaceAll(/[-:]|\.\d+/g, "")}`;
    const about = { service: "s3", region, datetime, ...keys };
    const all = { ...headers, "x-amz-content-sha256": emptyHash };
    const signed = await new AwsV4Signer({ method: "GET", url, headers: all, ...about }).sign();
    return Object.fromEntries(signed.headers);
  }

  #refusal({ status, headers, body }: Answer): BucketProblem {
    const { code = "", message = "" } = findServiceError(body.toString()) ?? {};
    const region = headers["x-amz-bucket-region"];
    const said = [code, message].filter((part) => part !== "").join(": ") || body.toString("utf8", 0, 200).trim();
    const where = typeof region === "string" && status >= 300 && status < 400 ? ` (the bucket is in ${region})` : "";
    const { base, bucket } = this.#options.settings;
    const what = `${base} answers ${status} about bucket ${JSON.stringify(bucket)}: ${said}${where}`;
    return new BucketProblem(reasonOf(status, code), what);
  }
}

function reasonOf(status: number, code: string): BucketReason {
  if (code === "NoSuchBucket" || (status === 404 && code === "")) return "NoSuchBucket";
  if ((status >= 300 && status < 400) || code === "AuthorizationHeaderMalformed" || code === "PermanentRedirect")
    return "WrongRegion";
  return status === 401 || status === 403 ? "AccessDenied" : "ServiceError";
}

/** An answer has more bytes than are read. */
class TooLong extends BucketProblem {
  constructor(mostBytes: number) {
    super("BadAnswer", `The answer has more than ${mostBytes} bytes`);
  }
}

async function readBody(body: AsyncIterable<Buffer>, mostBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw new TooLong(mostBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

/** As signatures have it: everything but letters, digits and `-._~`. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
