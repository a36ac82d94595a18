/**
 * The registry over HTTP: the distribution specification 1.1, all four of its categories, with the list of repositories that Docker's registry has. Errors have its form.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import {
  beginUpload,
  cancelUpload,
  continueUpload,
  deleteBlob,
  endUpload,
  type Exchange,
  readBlob,
  readUpload,
} from "./blob-requests.ts";
import type { EmbeddedRegistry } from "./embedded-registry.ts";
import {
  deleteManifest,
  listCatalog,
  listReferrers,
  listTags,
  readManifest,
  writeManifest,
} from "./manifest-requests.ts";
import { RegistryFault } from "./registry-fault.ts";
import { parseTarget, type Target } from "./request.ts";

type Methods = Readonly<Record<string, (exchange: Exchange) => Promise<void> | void>>;

/** What a client is about to do; "connect" is asking whether this is a registry, "list" its repositories. */
export type RegistryAction = "connect" | "list" | "pull" | "push" | "delete";

/** Says who may do what. */
export interface RegistryGuard {
  /** Throws {@link RegistryFault} for what this client may not do. `repository` is empty where it is about no single one. */
  check(request: IncomingMessage, action: RegistryAction, repository: string): Promise<void>;
}

/** What serves requests. */
export type RegistryHandlerOptions = {
  readonly registry: EmbeddedRegistry;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Absent: everybody may do everything. */
  readonly guard?: RegistryGuard;
};

/** Garbage is looked for at most this often, and only when somebody writes. */
const collectEveryMs = 600_000;

const mostDrained = 8 << 20;
const drainMs = 10_000;

/** Answers requests of `node:http`. */
export class RegistryHandler {
  readonly #registry: EmbeddedRegistry;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #guard: RegistryGuard | undefined;
  #collectedMs = Number.NEGATIVE_INFINITY;

  constructor({ registry, clock, logger, guard }: RegistryHandlerOptions) {
    this.#registry = registry;
    this.#clock = clock;
    this.#logger = logger;
    this.#guard = guard;
  }

  /** Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("docker-distribution-api-version", "registry/2.0");
    try {
      const url = new URL(request.url ?? "/", "http://registry");
      refuseStrangers(request);
      const target = parseTarget(url.pathname);
      if (!target) throw new RegistryFault("UNSUPPORTED", "there is nothing at this path", { status: 404 });
      const methods = methodsOf(target, this.#registry);
      const method = methods[request.method === "HEAD" && !methods["HEAD"] ? "GET" : (request.method ?? "")];
      if (!method)
        throw new RegistryFault("UNSUPPORTED", "the method is not allowed", {
          headers: { allow: Object.keys(methods).join(", ") },
        });
      const action = actionOf(target, request.method);
      await this.#guard?.check(request, action, "repository" in target ? target.repository : "");
      const from = url.searchParams.get("from");
      if (from !== null) await this.#guard?.check(request, "pull", from);
      if (action === "push" || action === "delete") this.#collectSometimes();
      await method({ registry: this.#registry, request, response, query: url.searchParams });
    } catch (error) {
      await drain(request);
      this.#refuse(request, response, error);
    }
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const fault = error instanceof RegistryFault ? error : undefined;
    if (response.headersSent || response.destroyed || request.socket.destroyed) {
      // The client left, or half of an answer is on its way: nothing can be said any more.
      if (!fault) this.#logger.debug("Broke off an answer of the registry", { path: request.url, error });
      response.destroy();
      return;
    }
    if (!fault) this.#logger.error("The registry failed", { method: request.method, path: request.url, error });
    const status = fault?.status ?? ((error as NodeJS.ErrnoException).code === "ENOSPC" ? 507 : 500);
    const code = fault?.code ?? "UNKNOWN";
    const message =
      fault?.message ?? (status === 507 ? "no space is left on the device" : "the registry failed; its log says more");
    // What is left of a refused body is not read: the connection ends with the answer.
    const rest = request.complete ? {} : { connection: "close" };
    response.writeHead(status, { ...fault?.headers, ...rest, "content-type": "application/json" });
    response.end(request.method === "HEAD" ? undefined : JSON.stringify({ errors: [{ code, message, detail: null }] }));
  }

  #collectSometimes(): void {
    const now = this.#clock.now();
    if (now - this.#collectedMs < collectEveryMs) return;
    this.#collectedMs = now;
    this.#registry.collectGarbage().catch((error: unknown) => {
      this.#logger.warn("The registry could not be cleaned up", { error });
    });
  }
}

/** Who is still sending hears no answer: what is left of a refused body is read, if it is not much and comes soon. */
async function drain(request: IncomingMessage): Promise<void> {
  let left = mostDrained;
  const timeout = setTimeout(() => request.socket.destroy(), drainMs);
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }))
      if ((left -= (chunk as Buffer).length) < 0) return;
  } catch {
    // The client left.
  } finally {
    clearTimeout(timeout);
  }
}

function actionOf(target: Target, method = ""): RegistryAction {
  if (target.kind === "base") return "connect";
  if (target.kind === "catalog") return "list";
  // To ask about an upload, or to give it up, is part of pushing.
  if (target.kind === "upload" || target.kind === "uploads") return "push";
  if (method === "DELETE") return "delete";
  return method === "GET" || method === "HEAD" ? "pull" : "push";
}

function methodsOf(target: Target, registry: EmbeddedRegistry): Methods {
  if (target.kind === "base")
    return { GET: ({ response }) => void response.writeHead(200, { "content-type": "application/json" }).end("{}") };
  if (target.kind === "catalog") return { GET: listCatalog };
  const repository = registry.repository(target.repository);
  if (target.kind === "tags") return { GET: (exchange) => listTags(exchange, repository) };
  if (target.kind === "referrers") return { GET: (exchange) => listReferrers(exchange, repository, target.digest) };
  if (target.kind === "uploads") return { POST: (exchange) => beginUpload(exchange, repository) };
  if (target.kind === "upload")
    return {
      GET: (exchange) => readUpload(exchange, repository, target.id),
      PATCH: (exchange) => continueUpload(exchange, repository, target.id),
      PUT: (exchange) => endUpload(exchange, repository, target.id),
      DELETE: (exchange) => cancelUpload(exchange, repository, target.id),
    };
  if (target.kind === "blob")
    return {
      GET: (exchange) => readBlob(exchange, repository, target.digest),
      DELETE: (exchange) => deleteBlob(exchange, repository, target.digest),
    };
  return {
    GET: (exchange) => readManifest(exchange, repository, target.reference),
    PUT: (exchange) => writeManifest(exchange, repository, target.reference),
    DELETE: (exchange) => deleteManifest(exchange, repository, target.reference),
  };
}

/** A page in somebody's browser must not push, nor read by a name of its own that it lets lead here. */
function refuseStrangers({ headers }: IncomingMessage): void {
  const host = (headers.host ?? "").replace(/:\d+$/, "");
  const isOurs = /^(?:localhost|[\d.]+|\[[0-9a-fA-F:.]+\])$/.test(host);
  if (!isOurs) throw new RegistryFault("DENIED", "the registry is asked by an address of this machine");
  if (headers.origin !== undefined) throw new RegistryFault("DENIED", "the registry takes no requests of web pages");
}
