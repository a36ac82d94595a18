/**
 * Sends one event to one address over HTTP, once, and says what came of it. Whoever is slow, answers without end or redirects gets a clear verdict in bounded time and memory.
 */
import { lookup as lookupOnMachine } from "node:dns";
import { Agent, type Dispatcher as HttpDispatcher } from "undici";
import type { Clock } from "#component-base/clock.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { decodeReply, encodeBinary, encodeStructured } from "#eventing/cloudevents/http-binding.ts";
import { isRetryable, retryAfterMs } from "./back-off.ts";
import { traceHeaders } from "./broker-attributes.ts";
import { checkHost, ForbiddenAddress, type Forbids, guardedLookup, type Lookup } from "./reach.ts";
import type { Target } from "./topology.ts";
import { stepOfDelivery, type TraceStep } from "./trace-step.ts";

/** What came of it. */
export type Outcome =
  | { readonly kind: "taken"; readonly status: number; readonly reply: CloudEvent | undefined }
  | {
      readonly kind: "refused";
      /** 500 when there was no answer. */
      readonly status: number;
      /** Somebody answered, whatever it was. */
      readonly isAnswered: boolean;
      /** Somebody may have got it. */
      readonly isReached: boolean;
      readonly isRetryable: boolean;
      readonly retryAfterMs: number | undefined;
      /** The beginning of the answer's body, or why there was none. */
      readonly why: string;
    };

/** How it is sent. */
export type SendOptions = {
  readonly timeoutMs: number;
  readonly format?: "binary" | "json" | undefined;
  /** Of the event's trace. Default: a new one. */
  readonly step?: TraceStep | undefined;
  readonly signal: AbortSignal;
};

/** Where bearer tokens come from. */
export interface TokenSource {
  /** A token of this service account for this audience. Rejects when there is none to be had. */
  get(identity: { readonly namespace: string; readonly name: string }, audience: string): Promise<string>;
  /** It was refused. True: the next one will be another. */
  forget(identity: { readonly namespace: string; readonly name: string }, audience: string): boolean;
}

/** What a sender works with. */
export type SenderOptions = {
  readonly clock: Clock;
  /** Largest reply that is read. */
  readonly maxReplyBytes: number;
  /** Default: the machine's resolver. */
  readonly lookup?: Lookup;
  /** Addresses that nothing is sent to. Default: none. */
  readonly forbids?: Forbids;
  /** Tokens for targets that ask for one. Default: none are sent. */
  readonly tokens?: TokenSource;
};

/** Most connections to one origin: those beyond wait, and the time they wait counts. */
const mostConnections = 128;
const connectTimeoutMs = 10_000;
/** As much of a refusal's body as is told on. */
const whyBytes = 1024;

/** Connections of one subscription: what one subscriber does to them is no matter of another's. */
export class Sender {
  readonly #options: SenderOptions;
  readonly #agents = new Map<string, Agent>();

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** Never rejects, but with the signal's reason. */
  async send(
    event: CloudEvent,
    target: Target,
    { timeoutMs, format, step = stepOfDelivery(event), signal }: SendOptions,
  ): Promise<Outcome> {
    signal.throwIfAborted();
    try {
      const url = new URL(target.url);
      if (url.protocol !== "http:" && url.protocol !== "https:")
        return neverTaken(`events are sent over HTTP, not to ${target.url}`);
      if (this.#options.forbids) checkHost(url.hostname, this.#options.forbids);
      const { headers, body } = format === "json" ? encodeStructured(event) : encodeBinary(event);
      const all = [...headers, ...traceHeaders(event, step), "prefer", "reply", "accept-encoding", "identity"];
      const token = await this.#tokenFor(target);
      signal.throwIfAborted();
      if (token !== undefined) all.push("authorization", `Bearer ${token}`);
      if (body.length === 0) all.push("content-length", "0");
      const request = { origin: url.origin, path: url.pathname + url.search, method: "POST" as const, headers: all };
      const answer = new Answer(this.#options, timeoutMs);
      this.#agentFor(target.caCerts).dispatch(
        { ...request, body: body.length === 0 ? null : body, headersTimeout: 0, bodyTimeout: 0 },
        answer,
      );
      const onAbort = () => answer.abandon(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      const outcome = await answer.outcome;
      signal.removeEventListener("abort", onAbort);
      signal.throwIfAborted();
      const isTokenSpent = token !== undefined && outcome.status === 401 && this.#forgetToken(target);
      return isTokenSpent && outcome.kind === "refused" ? { ...outcome, isRetryable: true } : outcome;
    } catch (error) {
      signal.throwIfAborted();
      return error instanceof NoToken ? unanswered(error, false) : unanswered(error);
    }
  }

  async #tokenFor({ audience, identity }: Target): Promise<string | undefined> {
    const { tokens } = this.#options;
    if (audience === undefined || identity === undefined || tokens === undefined) return undefined;
    try {
      return await tokens.get(identity, audience);
    } catch (error) {
      const { namespace, name } = identity;
      throw new NoToken(`no token of service account ${namespace}/${name}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  #forgetToken({ audience = "", identity }: Target): boolean {
    return identity !== undefined && this.#options.tokens?.forget(identity, audience) === true;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
  }

  #agentFor(ca = ""): Agent {
    const known = this.#agents.get(ca);
    if (known) return known;
    const { lookup = lookupOnMachine as Lookup, forbids } = this.#options;
    const guarded = forbids ? guardedLookup(lookup, forbids) : lookup;
    const connect = { timeout: connectTimeoutMs, lookup: guarded, ...(ca !== "" && { ca }) };
    const agent = new Agent({ connections: mostConnections, pipelining: 1, connect });
    this.#agents.set(ca, agent);
    return agent;
  }
}

/** Nothing was sent. */
class NoToken extends Error {
  readonly kind = "NoToken";
}

/** One answer, as it comes. */
class Answer implements HttpDispatcher.DispatchHandler {
  readonly outcome: Promise<Outcome>;
  readonly #resolve: (outcome: Outcome) => void;
  readonly #clock: Clock;
  readonly #maxReplyBytes: number;
  readonly #timer: { clear(): void };
  #controller: HttpDispatcher.DispatchController | undefined;
  #abandoned: Error | undefined;
  #status = 0;
  #headers: string[] = [];
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor({ clock, maxReplyBytes }: SenderOptions, timeoutMs: number) {
    ({ promise: this.outcome, resolve: this.#resolve } = Promise.withResolvers<Outcome>());
    this.#clock = clock;
    this.#maxReplyBytes = maxReplyBytes;
    this.#timer = clock.setTimer(timeoutMs, () => this.abandon(new Error(`no answer within ${timeoutMs} ms`)));
  }

  /** Waits no longer. */
  abandon(reason: Error): void {
    this.#abandoned = reason;
    this.#controller?.abort(reason);
    this.#finish(unanswered(reason, this.#controller !== undefined));
  }

  onRequestStart(controller: HttpDispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#abandoned) controller.abort(this.#abandoned);
  }

  onResponseStart(_controller: unknown, status: number, headers: Record<string, string | string[] | undefined>): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [name, Array.isArray(value) ? value.join(", ") : value],
    );
  }

  onResponseData(controller: HttpDispatcher.DispatchController, chunk: Buffer): void {
    const isRefused = this.#status < 200 || this.#status > 299;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes <= (isRefused ? whyBytes : this.#maxReplyBytes)) return;
    // Enough is known: of a refusal its beginning, of a reply that it is too large.
    this.#finish(isRefused ? this.#refusal() : brokenReply(`a reply of more than ${this.#maxReplyBytes} bytes`));
    controller.abort(new Error("the rest is not read"));
  }

  onResponseEnd(): void {
    if (this.#status < 200 || this.#status > 299) return this.#finish(this.#refusal());
    this.#finish(this.#acceptance());
  }

  onResponseError(_controller: unknown, error: Error): void {
    this.#finish(unanswered(error));
  }

  #acceptance(): Outcome {
    if (this.#bytes === 0 && this.#status !== 200) return { kind: "taken", status: this.#status, reply: undefined };
    try {
      const reply = decodeReply({ headers: this.#headers, body: Buffer.concat(this.#chunks) });
      return { kind: "taken", status: this.#status, reply };
    } catch (error) {
      return brokenReply((error as Error).message);
    }
  }

  #refusal(): Outcome {
    const at = this.#headers.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === "retry-after");
    const header = at < 0 ? undefined : this.#headers[at + 1];
    return {
      kind: "refused",
      status: this.#status,
      isAnswered: true,
      isReached: true,
      isRetryable: isRetryable(this.#status),
      retryAfterMs: retryAfterMs(this.#status, header, this.#clock.now()),
      why: Buffer.concat(this.#chunks).toString("utf8", 0, whyBytes),
    };
  }

  #finish(outcome: Outcome): void {
    this.#timer.clear();
    this.#resolve(outcome);
    this.#chunks = [];
  }
}

/** Errors of those who look for somebody and find nobody. */
const nobodyThere: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "ENODATA",
  "ESERVFAIL",
  "EAI_AGAIN",
  "ETIMEOUT",
  "UND_ERR_CONNECT_TIMEOUT",
]);

function unanswered(
  error: unknown,
  isReached = !nobodyThere.has((error as NodeJS.ErrnoException).code ?? ""),
): Outcome {
  if (error instanceof ForbiddenAddress) return neverTaken(error.message);
  const { message, code } = error as NodeJS.ErrnoException;
  const why = `dispatch error: ${message || code || String(error)}`;
  const nothing = { isAnswered: false, isRetryable: true, retryAfterMs: undefined } as const;
  return { kind: "refused", status: 500, ...nothing, isReached, why };
}

/** Nobody was asked, and asking again would be no different. */
function neverTaken(why: string): Outcome {
  const nothing = { isAnswered: false, isReached: true, isRetryable: false, retryAfterMs: undefined } as const;
  return { kind: "refused", status: 500, ...nothing, why: `dispatch error: ${why}` };
}

/** The subscriber took the event: sending it again would have it done twice, and answered as badly. */
function brokenReply(why: string): Outcome {
  const answered = { isAnswered: true, isReached: true, isRetryable: false, retryAfterMs: undefined } as const;
  return { kind: "refused", status: 502, ...answered, why };
}
