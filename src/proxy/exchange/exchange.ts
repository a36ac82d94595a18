/**
 * One request from its head to the end of its response: finds its rule, lets it wait where it must, tries an endpoint and another one, and passes bytes both ways with back-pressure. Knows neither
 * protocol; the two streams do. Everything about what is sent is decided beside it (request-fields, retry-policy, rewrite); here is only when.
 */
import { hashKeyOf } from "#proxy/balance/hash-key.ts";
import type { HeldRequest, HoldVerdict } from "#proxy/config/hold.ts";
import type { Backend, ForwardAction } from "#proxy/config/route.ts";
import type { Deadline } from "#proxy/message/deadlines.ts";
import type { Fields } from "#proxy/message/fields.ts";
import { type RequestHead, type ResponseHead, UNTIL_CLOSE } from "#proxy/message/heads.ts";
import type { LoadMeter } from "#proxy/observe/cluster-loads.ts";
import type { ResponseFlag } from "#proxy/observe/response-flags.ts";
import { beginTrace, readTrace, type TraceContext, withTrace } from "#proxy/observe/trace-context.ts";
import type { RuleEntry } from "#proxy/routing/compiled-rule.ts";
import { changeFields } from "#proxy/routing/field-changes.ts";
import { type RequestPath, readPath } from "#proxy/routing/request-path.ts";
import { changePath, redirectLocation } from "#proxy/routing/rewrite.ts";
import type { Endpoint } from "#proxy/upstream/endpoint.ts";
import { Breaks } from "./breaks.ts";
import { EndpointSearch, type EndpointSeeker, type NoEndpoint } from "./endpoint-search.ts";
import type { ExchangeParts } from "./exchange-parts.ts";
import { accessEntry } from "./exchange-record.ts";
import type { Held } from "./hold-gate.ts";
import { localReply, reasonOf } from "./local-reply.ts";
import { sendMirrors } from "./mirror.ts";
import { RequestBody } from "./request-body.ts";
import { forwardedFields, withForwarded, withoutClaims } from "./request-fields.ts";
import { attemptsOf, backoffMs, type TryOutcome, wantsRetry } from "./retry-policy.ts";
import type {
  ClientGoneReason,
  ClientOwner,
  ClientStream,
  RequestStart,
  UpstreamFailure,
  UpstreamOwner,
  UpstreamStream,
} from "./streams.ts";

const IDLE_MS = 300_000;
/** A request that is held more often than this, though nothing came of it, waits before it is held again: hold and cluster may see the same thing differently. */
const CALM_HOLDS = 3;
const LONGEST_PAUSE_MS = 1000;

export class Exchange implements ClientOwner, UpstreamOwner, EndpointSeeker {
  readonly #parts: ExchangeParts;
  readonly #client: ClientStream;
  readonly #head: RequestHead;
  readonly #body: RequestBody;
  readonly #startMs: number;
  readonly #deadline: Deadline;
  #overall: Deadline | undefined;
  #entry: RuleEntry | undefined;
  #backend: Backend | undefined;
  #search: EndpointSearch | undefined;
  #meter: LoadMeter | undefined;
  #upstream: UpstreamStream | undefined;
  #start: RequestStart | undefined;
  #trace: TraceContext | undefined;
  #held: Held | undefined;
  #wasHeld: { readonly name: string; readonly request: HeldRequest } | undefined;
  #onDue: (() => void) | undefined;
  #requestId = "";
  #tries = 0;
  #holds = 0;
  readonly #breaks = new Breaks();
  #needsFresh = false;
  #status = 0;
  #flag: ResponseFlag = "-";
  #sent = 0;
  #responseStartMs: number | undefined;
  #isTunnel = false;
  #responseIsWhole = false;
  #isOver = false;

  constructor(parts: ExchangeParts, client: ClientStream) {
    this.#parts = parts;
    this.#client = client;
    this.#head = client.head;
    this.#body = new RequestBody(client.head.bodyLength === 0);
    this.#startMs = parts.clock.now();
    this.#deadline = parts.deadlines.add(() => this.#onDue?.());
  }

  /** Begins. Called once, when the head is there. */
  start(): void {
    const head = this.#head;
    if (head.method === "CONNECT") return this.#reply(501, "CONNECT is not supported");
    const path = head.target === "*" ? { path: "/", query: "" } : readPath(head.target);
    if (path === undefined) return this.#reply(400, "the path climbs above its root");
    const entry = this.#parts.routes.find(head, path);
    if (entry === undefined) return this.#reply(404, "no route matches the request", "NR");
    this.#entry = entry;
    const { action, responseFields, timeouts } = entry.rule;
    if (action.kind === "forward") {
      if (this.#isTooLarge(head.bodyLength)) return this.#replyTooLarge();
      this.#setOverall(timeouts?.requestMs ?? 0);
      return this.#forward(action, entry, path);
    }
    if (action.kind === "respond") {
      const fields = changeFields((action.fields ?? []).flat(), responseFields);
      return this.#reply(action.status, action.body ?? "", "-", fields);
    }
    const { authority } = head;
    const scheme = this.#client.facts.isTls ? "https" : "http";
    const location = redirectLocation(action, { scheme, authority, path, matched: entry });
    this.#reply(action.status ?? 302, "", "-", changeFields(["location", location], responseFields));
  }

  // ---- the way to an endpoint

  #forward(action: ForwardAction, entry: RuleEntry, path: RequestPath): void {
    const backend = pickBackend(action.backends, this.#parts.random);
    if (backend === undefined) return this.#reply(500, "the route has no backend", "NR");
    this.#backend = backend;
    this.#meter = this.#parts.loads.of(backend.cluster, this.#startMs);
    this.#meter.enter(this.#startMs);
    this.#prepare(entry, backend, path);
    if (entry.rule.mirrors !== undefined && this.#start !== undefined)
      sendMirrors(this.#parts, entry.rule.mirrors, this.#head, this.#start, this.#body);
    if (backend.hold === undefined || backend.holds === "unserved") return this.#try();
    this.#hold(backend.hold);
  }

  #hold(name: string, unreachable?: string): void {
    const inVain = this.#holds++ - CALM_HOLDS;
    if (inVain < 0) return this.#keep(name, unreachable);
    this.#await(Math.min(LONGEST_PAUSE_MS, 10 * 2 ** inVain), () => this.#keep(name, unreachable));
  }

  #keep(name: string, unreachable: string | undefined): void {
    const { method, authority, target } = this.#head;
    const about = { route: this.#entry?.route.name ?? "", cluster: this.#backend?.cluster ?? "" };
    const held = { ...about, method, authority, target, ...(unreachable === undefined ? {} : { unreachable }) };
    this.#wasHeld = { name, request: held };
    // What waits has its own time; the request's whole time goes on.
    this.#deadline.clear();
    this.#held = this.#parts.holds.keep(name, held, (verdict) => this.#onVerdict(verdict));
  }

  #prepare(entry: RuleEntry, backend: Backend, path: RequestPath): void {
    const head = this.#head;
    const { requestFields, rewrite } = entry.rule;
    const own = forwardedFields(head, this.#client.facts);
    this.#requestId = own.requestId;
    const said = entry.rule.saysForwarded === true ? withForwarded(own.fields) : own.fields;
    let fields = changeFields(changeFields(said, requestFields), backend.requestFields);
    if (this.#parts.spans !== undefined) {
      this.#trace = readTrace(head.fields) ?? beginTrace(this.#parts.random() < this.#parts.spans.sampledShare);
      fields = withTrace(fields, this.#trace);
    } else if (this.#parts.accessLog !== undefined) this.#trace = readTrace(head.fields);
    const target = head.target === "*" ? "*" : changePath(path.path, rewrite?.path, entry) + path.query;
    this.#start = {
      method: head.method,
      target,
      authority: rewrite?.authority ?? head.authority,
      fields,
      bodyLength: head.bodyLength,
      takesTrailers: head.takesTrailers,
      upgrade: head.upgrade,
    };
  }

  #onVerdict(verdict: HoldVerdict): void {
    this.#held = undefined;
    if (verdict.kind === "go") return this.#try();
    const retryAfter = verdict.retryAfterSeconds;
    const fields = retryAfter === undefined ? [] : ["retry-after", String(retryAfter)];
    this.#reply(verdict.status, verdict.message, "HR", fields);
  }

  #try(): void {
    this.#search ??= this.#beginSearch();
    if (this.#search === undefined) return this.#reply(503, "the route's cluster does not exist", "UH");
    this.#search.begin();
  }

  #beginSearch(): EndpointSearch | undefined {
    const cluster = this.#parts.clusters.get(this.#backend?.cluster ?? "");
    if (cluster === undefined) return undefined;
    const { balance } = cluster.config;
    const isHashed = balance?.kind === "consistentHash";
    const hashKey = isHashed ? hashKeyOf(balance.by, this.#head, this.#client.facts.address) : undefined;
    return new EndpointSearch(cluster, hashKey, this);
  }

  onNoEndpoint(reason: NoEndpoint): void {
    const { hold, holds } = this.#backend ?? {};
    if (reason === "none" && hold !== undefined && holds === "unserved") return this.#hold(hold);
    if (reason === "none") this.#reply(503, "no endpoint is there to serve the request", "UH");
    else this.#reply(503, "too many requests wait for an endpoint", "UO");
  }

  onWaiting(waitMs: number): void {
    this.#await(waitMs, () => this.#reply(503, "no endpoint had room in time", "UO"));
  }

  onEndpoint(endpoint: Endpoint): void {
    this.#tries++;
    if (this.#tries === 1 && this.#head.expectsContinue && !this.#body.isWhole) this.#client.sendInformational(100, []);
    this.#awaitResponse();
    const { retry } = this.#entry?.rule ?? {};
    const upstream = endpoint.open(this, this.#needsFresh);
    this.#upstream = upstream;
    upstream.sendHead(this.#start as RequestStart);
    if (attemptsOf(retry) === 0) this.#forgetAfter(upstream);
    else this.#body.replay(upstream);
    if (!this.#body.isWhole) {
      if (upstream.flush()) this.#client.resumeBody();
      else this.#client.pauseBody();
    }
  }

  /** As long as the request is on its way its bytes have to move; then the response has to begin. */
  #awaitResponse(): void {
    const { responseStartMs = 0, idleMs = IDLE_MS } = this.#entry?.rule.timeouts ?? {};
    const delayMs = this.#body.isWhole && responseStartMs > 0 ? responseStartMs : idleMs;
    this.#await(delayMs, () => this.#onTryOver({ kind: "timeout" }));
  }

  #forgetAfter(upstream: UpstreamStream): void {
    this.#body.replay(upstream);
    this.#body.forget();
  }

  // ---- the request

  onRequestBody(bytes: Buffer): void {
    if (!this.#isTunnel && this.#isTooLarge(this.#body.bytes + bytes.length)) return this.#onTooLarge();
    this.#body.add(bytes, this.#upstream);
    if (this.#upstream !== undefined) this.#touch();
    else if (this.#body.isFull) this.#client.pauseBody();
  }

  #isTooLarge(bytes: number): boolean {
    const { maxBodyBytes } = this.#entry?.rule ?? {};
    return maxBodyBytes !== undefined && bytes > maxBodyBytes;
  }

  #onTooLarge(): void {
    if (this.#isOver) return;
    if (this.#status !== 0) return this.#break("DPE");
    this.#upstream?.abort();
    this.#upstream = undefined;
    this.#replyTooLarge();
  }

  #replyTooLarge(): void {
    this.#reply(413, `the body is longer than ${this.#entry?.rule.maxBodyBytes ?? 0} bytes`);
  }

  onRequestEnd(trailers: Fields): void {
    this.#body.end(this.#client.facts.trustsForwarded ? trailers : withoutClaims(trailers), this.#upstream);
    if (this.#isTunnel && this.#responseIsWhole) this.#finish();
    else if (this.#upstream !== undefined && this.#status === 0) this.#awaitResponse();
  }

  onRequestReadDone(): void {
    if (this.#isOver || this.#upstream === undefined || (this.#body.isWhole && !this.#isTunnel)) return;
    if (!this.#upstream.flush()) this.#client.pauseBody();
  }

  onUpstreamDrain(): void {
    if (!this.#isOver) this.#client.resumeBody();
  }

  onClientGone(reason: ClientGoneReason): void {
    if (this.#isOver) return;
    this.#flag = reason === "bad-request" ? "DPE" : "DC";
    this.#upstream?.abort();
    this.#finish();
  }

  // ---- the response

  onInformational(status: number, fields: Fields): void {
    if (this.#head.version !== "1.0") this.#client.sendInformational(status, fields);
  }

  onResponseHead(head: ResponseHead): void {
    const { retry, responseFields, timeouts } = this.#entry?.rule ?? {};
    const outcome: TryOutcome = { kind: "status", status: head.status };
    if (retry?.statuses !== undefined && this.#mayRetry(outcome)) return this.#onTryOver(outcome);
    this.#body.forget();
    this.#status = head.status;
    this.#responseStartMs = this.#parts.clock.now();
    if (this.#wasHeld !== undefined) this.#parts.holds.tellAnswer(this.#wasHeld.name, this.#wasHeld.request);
    this.#await(timeouts?.idleMs ?? IDLE_MS, () => this.#break("UT"));
    let { fields } = head;
    if (responseFields !== undefined || this.#backend?.responseFields !== undefined)
      fields = changeFields(changeFields(fields, this.#backend?.responseFields), responseFields);
    if (head.status === 101) this.#beginTunnel();
    const { status, reason, upgrade } = head;
    const bodyLength = head.status === 101 ? UNTIL_CLOSE : head.bodyLength;
    this.#client.sendHead({ status, reason: reason === "" ? reasonOf(status) : reason, fields, bodyLength, upgrade });
  }

  #beginTunnel(): void {
    this.#isTunnel = true;
    this.#body.reopen();
    this.#overall?.clear();
    this.#deadline.clear();
  }

  onResponseBody(bytes: Buffer): void {
    this.#sent += bytes.length;
    this.#client.write(bytes);
  }

  onResponseEnd(trailers: Fields): void {
    if (this.#isOver) return;
    if (!this.#body.isWhole && !this.#isTunnel) this.#upstream?.abort();
    this.#responseIsWhole = true;
    this.#client.end(trailers);
    if (!this.#isTunnel || this.#body.isWhole) this.#finish();
  }

  onResponseReadDone(): void {
    if (this.#isOver || this.#status === 0) return;
    this.#touch();
    if (!this.#client.flush()) this.#upstream?.pause();
  }

  onClientDrain(): void {
    if (!this.#isOver) this.#upstream?.resume();
  }

  // ---- when something goes wrong

  onUpstreamFailed(failure: UpstreamFailure): void {
    if (this.#isOver) return;
    this.#parts.metrics.upstreamFailures.with(this.#backend?.cluster ?? "", failure.kind).add();
    this.#upstream = undefined;
    if (this.#status !== 0) return this.#break(failure.kind === "bad-response" ? "UPE" : "UC");
    // One that had served before was at its end, and so may the others be that wait.
    if (failure.wasReused && failure.kind === "reset") this.#needsFresh = true;
    const endpoint = this.#search?.endpoint;
    if (endpoint !== undefined) this.#breaks.onFailure(failure, endpoint, this.#parts.clock.now());
    this.#onTryOver({ kind: "failure", failure });
  }

  #mayRetry(outcome: TryOutcome): boolean {
    const retry = this.#entry?.rule.retry;
    if (this.#tries > attemptsOf(retry) || !this.#body.canReplay) return false;
    return wantsRetry(retry, this.#head.method, outcome);
  }

  #onTryOver(outcome: TryOutcome): void {
    const willRetry = this.#mayRetry(outcome);
    this.#upstream?.abort();
    this.#upstream = undefined;
    if (this.#breaks.areEnough)
      return this.#reply(502, "instances ended twice while this was their only request; it is not sent again", "UC");
    if (this.#holdUnreached(outcome)) return;
    const wasStale = outcome.kind === "failure" && outcome.failure.kind === "reset" && outcome.failure.wasReused;
    if (!wasStale) this.#search?.avoid();
    if (!willRetry) return this.#replyTo(outcome);
    this.#search?.leave();
    const reason = outcome.kind === "failure" ? outcome.failure.kind : outcome.kind;
    this.#parts.metrics.retries.with(this.#backend?.cluster ?? "", reason).add();
    const waitMs = backoffMs(this.#entry?.rule.retry, this.#tries, this.#parts.random);
    if (waitMs === 0) this.#try();
    else this.#await(waitMs, () => this.#try());
  }

  /** Nothing was sent, and who holds requests may know of another endpoint, or when this one is back. */
  #holdUnreached(outcome: TryOutcome): boolean {
    const { hold, holds, cluster = "" } = this.#backend ?? {};
    const isUnreached = outcome.kind === "failure" && outcome.failure.kind === "connect";
    if (!isUnreached || hold === undefined || holds !== "unserved" || !this.#body.canReplay) return false;
    const endpoint = this.#search?.endpoint?.name;
    this.#search?.avoid();
    this.#search?.leave();
    this.#parts.metrics.retries.with(cluster, outcome.failure.kind).add();
    this.#hold(hold, endpoint);
    return true;
  }

  #replyTo(outcome: TryOutcome): void {
    if (outcome.kind === "timeout") return this.#reply(504, "the upstream did not answer in time", "UT");
    if (outcome.kind === "status") return this.#reply(502, "the upstream answered with an error", "UC");
    const { kind, message } = outcome.failure;
    if (kind === "connect" || kind === "refused") return this.#reply(503, "the upstream cannot be reached", "UF");
    if (kind === "reset") return this.#reply(502, "the upstream closed the connection", "UC");
    this.#reply(502, `the upstream's answer is no HTTP: ${message}`, "UPE");
  }

  /** Answers ourselves. */
  #reply(status: number, message: string, flag: ResponseFlag = "-", fields: Fields = []): void {
    this.#status = status;
    this.#flag = flag;
    const { start, body } = localReply(this.#head, status, message, fields);
    const isBodiless = this.#head.method === "HEAD" || status === 204 || status === 304;
    this.#client.sendHead(isBodiless ? { ...start, bodyLength: 0 } : start);
    if (!isBodiless && body.length > 0) this.#client.write(body);
    this.#client.end([]);
    this.#finish();
  }

  /** The response has begun and cannot be finished. */
  #break(flag: ResponseFlag): void {
    this.#flag = flag;
    this.#upstream?.abort();
    this.#client.abort();
    this.#finish();
  }

  // ---- time

  #setOverall(requestMs: number): void {
    if (requestMs === 0) return;
    this.#overall = this.#parts.deadlines.add(() => this.#onOverallDue());
    this.#overall.set(requestMs);
  }

  #onOverallDue(): void {
    if (this.#status !== 0) return this.#break("UT");
    this.#upstream?.abort();
    this.#upstream = undefined;
    this.#reply(504, "the request took too long", "UT");
  }

  #await(delayMs: number, onDue: () => void): void {
    this.#onDue = onDue;
    this.#deadline.set(delayMs);
  }

  /** Bytes have moved, either way. A tunnel's idleness is the listener's to judge. */
  #touch(): void {
    if (!this.#isTunnel) this.#deadline.set(this.#entry?.rule.timeouts?.idleMs ?? IDLE_MS);
  }

  // ---- the end

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const upstreamHost = this.#search?.endpoint?.name;
    this.#deadline.remove();
    this.#overall?.remove();
    this.#held?.cancel();
    this.#search?.leave();
    this.#body.forget();
    this.#record(upstreamHost);
  }

  #record(upstreamHost: string | undefined): void {
    const { metrics, accessLog, spans, clock } = this.#parts;
    const endMs = clock.now();
    this.#meter?.leave(endMs);
    const route = this.#entry?.route.name ?? "";
    const cluster = this.#backend?.cluster ?? "";
    const [status, received, sent] = [this.#status, this.#body.bytes, this.#sent];
    const { facts } = this.#client;
    const labels = { listener: facts.listener, route, cluster };
    metrics.series(labels).count({ status, durationMs: endMs - this.#startMs, received, sent });
    const trace = this.#trace;
    if (spans !== undefined && trace?.isSampled === true)
      spans.record({ trace, startMs: this.#startMs, endMs, route, cluster, status });
    accessLog?.record(
      accessEntry({
        head: this.#head,
        facts,
        startMs: this.#startMs,
        endMs,
        responseStartMs: this.#responseStartMs,
        status,
        flag: this.#flag,
        received,
        sent,
        route,
        cluster,
        upstreamHost,
        tries: this.#tries,
        requestId: this.#requestId,
        traceId: trace?.traceId,
      }),
    );
  }
}

function pickBackend(backends: readonly Backend[], random: () => number): Backend | undefined {
  const only = backends[0];
  if (backends.length === 1) return only?.weight === 0 ? undefined : only;
  let total = 0;
  for (const { weight = 1 } of backends) total += weight;
  let at = random() * total;
  for (const backend of backends) {
    at -= backend.weight ?? 1;
    if (at < 0) return backend;
  }
  return undefined;
}
