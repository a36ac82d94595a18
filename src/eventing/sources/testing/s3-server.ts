/**
 * A small S3 service for tests: buckets in memory, ListObjectsV2 in pages, GET with If-Match, in path style and in virtual-host style. It takes nothing whose signature (SigV4) it has not worked out by itself, from AWS' description
 * ("Authenticating Requests: Using the Authorization Header") and from the bytes that came, and tells what it was asked.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** An object as it is kept. */
type Kept = { readonly bytes: Buffer; readonly etag: string; readonly modifiedMs: number; readonly type: string };

/** What it answers in place of what it would, for tests of faults. */
export type Fault = { readonly status: number; readonly body: string; readonly headers?: Record<string, string> };

export type TestS3Options = {
  readonly region?: string;
  /** Access keys and their secrets. Empty: whoever comes may read. */
  readonly keys?: ReadonlyMap<string, string>;
  /** Most keys in a page, whatever is asked for. */
  readonly pageKeys?: number;
  /** Where it listens. Default 127.0.0.1. */
  readonly address?: string;
  /** A host whose subdomains are buckets. */
  readonly host?: string;
};

class Refusal extends Error {
  readonly kind = "Refusal";
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** A running service. Close it at the end of the test. */
export class TestS3 {
  readonly #server: Server;
  readonly #options: TestS3Options;
  readonly #buckets = new Map<string, Map<string, Kept>>();
  /** "GET /bucket/?list-type=2", in order. */
  readonly asked: string[] = [];
  /** Answers the next requests that it has something for. */
  fault: ((path: string) => Fault | undefined) | undefined;
  #port = 0;

  private constructor(options: TestS3Options) {
    this.#options = options;
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  static async start(options: TestS3Options = {}): Promise<TestS3> {
    const s3 = new TestS3(options);
    s3.#server.listen(0, options.address ?? "127.0.0.1");
    await once(s3.#server, "listening");
    s3.#port = (s3.#server.address() as { readonly port: number }).port;
    return s3;
  }

  get url(): string {
    return `http://${this.#options.host ?? this.#options.address ?? "127.0.0.1"}:${this.#port}`;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  makeBucket(bucket: string): void {
    this.#buckets.set(bucket, new Map());
  }

  put(bucket: string, key: string, bytes: string | Uint8Array, type = "binary/octet-stream", modifiedMs = 1e12): void {
    const all = Buffer.from(bytes);
    const etag = createHash("md5").update(all).digest("hex");
    this.#buckets.get(bucket)?.set(key, { bytes: all, etag, modifiedMs, type });
  }

  delete(bucket: string, key: string): void {
    this.#buckets.get(bucket)?.delete(key);
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "/";
    this.asked.push(`${request.method} ${path}`);
    request.resume();
    try {
      this.#checkSignature(request);
      const fault = this.fault?.(path);
      if (fault !== undefined) return void response.writeHead(fault.status, fault.headers).end(fault.body);
      this.#answer(request, response);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { code, message, status } = error;
      const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${xml(message)}</Message></Error>`;
      response.writeHead(status, { "content-type": "application/xml" }).end(body);
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { bucket, key, query } = this.#placeOf(request);
    const objects = this.#buckets.get(bucket);
    if (objects === undefined) throw new Refusal(404, "NoSuchBucket", "The specified bucket does not exist");
    if (request.method !== "GET") throw new Refusal(405, "MethodNotAllowed", "this service is for reading");
    if (key === "") {
      const list = this.#list(bucket, objects, query);
      return void response.writeHead(200, { "content-type": "application/xml" }).end(list);
    }
    const found = objects.get(key);
    if (found === undefined) throw new Refusal(404, "NoSuchKey", "The specified key does not exist.");
    const wanted = request.headers["if-match"];
    if (wanted !== undefined && wanted !== `"${found.etag}"`)
      throw new Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
    response.writeHead(200, { "content-type": found.type, etag: `"${found.etag}"` }).end(found.bytes);
  }

  #placeOf(request: IncomingMessage): {
    readonly bucket: string;
    readonly key: string;
    readonly query: URLSearchParams;
  } {
    const [rawPath = "/", search = ""] = (request.url ?? "/").split("?");
    const path = decodeURIComponent(rawPath).slice(1);
    const query = new URLSearchParams(search);
    const { host: own } = this.#options;
    const host = (request.headers.host ?? "").split(":")[0] ?? "";
    if (own !== undefined && host.endsWith(`.${own}`))
      return { bucket: host.slice(0, -own.length - 1), key: path, query };
    const slash = path.indexOf("/");
    if (slash < 0) return { bucket: path, key: "", query };
    return { bucket: path.slice(0, slash), key: path.slice(slash + 1), query };
  }

  #list(bucket: string, objects: ReadonlyMap<string, Kept>, query: URLSearchParams): string {
    if (query.get("list-type") !== "2") throw new Refusal(400, "InvalidArgument", "list-type must be 2");
    const [prefix, delimiter] = [query.get("prefix") ?? "", query.get("delimiter") ?? ""];
    const most = Math.min(Number(query.get("max-keys") ?? 1000), this.#options.pageKeys ?? 1000);
    const after = Buffer.from(query.get("continuation-token") ?? "", "base64url").toString();
    const isBelow = (key: string) => delimiter !== "" && key.slice(prefix.length).includes(delimiter);
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && !isBelow(key)).toSorted(byBytes);
    const rest = keys.filter((key) => after === "" || byBytes(key, after) > 0);
    const page = rest.slice(0, most);
    const isEncoded = query.get("encoding-type") === "url";
    const shown = (key: string) => (isEncoded ? encodeURIComponent(key).replaceAll("%20", "+") : xml(key));
    const contents = page.map((key) => {
      const { bytes, etag, modifiedMs } = objects.get(key) as Kept;
      return `<Contents><Key>${shown(key)}</Key><LastModified>${new Date(modifiedMs).toISOString()}</LastModified><ETag>&quot;${etag}&quot;</ETag><Size>${bytes.length}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
    });
    const next = rest.length > page.length ? Buffer.from(page.at(-1) ?? "").toString("base64url") : undefined;
    return [
      `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`,
      `<Name>${bucket}</Name><Prefix>${xml(prefix)}</Prefix><KeyCount>${page.length}</KeyCount><MaxKeys>${most}</MaxKeys>`,
      isEncoded ? "<EncodingType>url</EncodingType>" : "",
      `<IsTruncated>${next !== undefined}</IsTruncated>`,
      next === undefined ? "" : `<NextContinuationToken>${next}</NextContinuationToken>`,
      ...contents,
      "</ListBucketResult>",
    ].join("");
  }

  #checkSignature(request: IncomingMessage): void {
    const { keys = new Map<string, string>(), region = "us-east-1" } = this.#options;
    if (keys.size === 0) return;
    const header = request.headers.authorization ?? "";
    const [, keyId = "", date = "", givenRegion = "", signedHeaders = "", signature = ""] =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
        header,
      ) ?? [];
    if (keyId === "") throw new Refusal(403, "AccessDenied", "Access Denied");
    const secret = keys.get(keyId);
    if (secret === undefined)
      throw new Refusal(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.");
    if (givenRegion !== region)
      throw new Refusal(
        400,
        "AuthorizationHeaderMalformed",
        `the region '${givenRegion}' is wrong; expecting '${region}'`,
      );
    const names = signedHeaders.split(";");
    for (const needed of ["host", "x-amz-content-sha256", "x-amz-date"])
      if (!names.includes(needed)) throw new Refusal(403, "AccessDenied", `${needed} is not signed`);
    const bodyHash = createHash("sha256").update("").digest("hex");
    if (request.headers["x-amz-content-sha256"] !== bodyHash)
      throw new Refusal(400, "XAmzContentSHA256Mismatch", "the body is another one");
    const wanted = signatureOf(request, { names, date, region, secret, bodyHash });
    if (!timingSafeEqual(Buffer.from(wanted), Buffer.from(signature)))
      throw new Refusal(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.");
  }
}

function signatureOf(
  request: IncomingMessage,
  about: {
    readonly names: readonly string[];
    readonly date: string;
    readonly region: string;
    readonly secret: string;
    readonly bodyHash: string;
  },
): string {
  const { names, date, region, secret, bodyHash } = about;
  const [path = "/", search = ""] = (request.url ?? "/").split("?");
  const query = search
    .split("&")
    .filter((part) => part !== "")
    .toSorted();
  const headers = names.map((name) => `${name}:${String(request.headers[name] ?? "").trim()}\n`).join("");
  const canonical = [request.method, path, query.join("&"), headers, names.join(";"), bodyHash].join("\n");
  const scope = `${date}/${region}/s3/aws4_request`;
  const hash = createHash("sha256").update(canonical).digest("hex");
  const toSign = ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, hash].join("\n");
  const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();
  const key = ["s3", "aws4_request"].reduce(hmac, hmac(hmac(`AWS4${secret}`, date), region));
  return hmac(key, toSign).toString("hex");
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function xml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
