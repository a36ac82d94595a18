/**
 * The way of every request, whatever carries it: request info, time limit, authentication, impersonation, authorization, flow control, then the handler. What it throws is a
 * StatusError, always; anything else is a bug, logged and told as 500.
 */
import { internalError, StatusError } from "#apimachinery/status-error.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { StoreClosed, StoreFull } from "#store/store.ts";
import type { ApiRequest, ApiResult, RequestContext } from "#apiserver/api-request.ts";
import type { Metrics } from "#apiserver/other/metrics.ts";
import type { Authenticator, Authorizer, User } from "#apiserver/request.ts";
import type { StepTurns, Turns } from "#apiserver/turns.ts";
import { authorize } from "./authorization.ts";
import { impersonated } from "./impersonation.ts";
import type { FlowControl } from "#apiserver/flowcontrol/flow-control.ts";
import { isLongRunning } from "./long-running.ts";
import { parseRequestInfo } from "./request-info.ts";

/** Longest handling of a request that is not long-running, in milliseconds. As kube-apiserver's request-timeout. */
const REQUEST_TIMEOUT_MS = 60_000;

/** What the chain is made of. */
export type ChainParts = {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly flowControl: FlowControl;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** For callers in this process. */
  readonly turns: Turns;
  /** For large bodies. */
  readonly steps: StepTurns;
  /** Resource requests. */
  readonly handleResource: (context: RequestContext) => Promise<ApiResult>;
  /** Everything else: health, version, metrics, discovery, OpenAPI. */
  readonly handleOther: (context: RequestContext) => Promise<ApiResult>;
};

/** A request after authentication and authorization, and the answer to it. */
export type Answer = { readonly result: ApiResult; readonly context: RequestContext };

/** Runs a request through the filters and its handler. Throws StatusError only. */
export async function runRequest(parts: ChainParts, request: ApiRequest): Promise<Answer> {
  const startedMs = performance.now();
  let code = 200;
  let context: RequestContext | undefined;
  try {
    context = await admit(parts, request);
    const { info } = context;
    const handle = info.isResourceRequest ? parts.handleResource : parts.handleOther;
    const isFree = isLongRunning(info) || request.user !== undefined;
    if (info.verb === "watch" && request.user === undefined)
      request.flow = parts.flowControl.classify(info, context.user);
    const result = isFree ? await handle(context) : await handleShort(parts, context, handle);
    if ("status" in result && typeof result.status === "number") code = result.status;
    return { result, context };
  } catch (error) {
    const status = asStatusError(parts.logger, error, request);
    code = status.code;
    throw status;
  } finally {
    const isServed = context?.info.isResourceRequest === true && code !== 404;
    parts.metrics.record(context?.info, code, (performance.now() - startedMs) / 1000, isServed);
  }
}

function noSeat(): void {}

// Takes its place among the requests under way, and no longer than it may. Parts in this process take none: requests under way may wait for what they do.
async function handleShort(
  parts: ChainParts,
  context: RequestContext,
  handle: ChainParts["handleResource"],
): Promise<ApiResult> {
  const flow = parts.flowControl.classify(context.info, context.user);
  context.request.flow = flow;
  const seat = flow === undefined ? noSeat : parts.flowControl.enter(flow);
  const leave = seat instanceof Promise ? await seat : seat;
  try {
    return await withinTime(parts.clock, handle(context));
  } finally {
    leave();
  }
}

/** Authentication, impersonation and authorization: who asks, and that they may. Also for requests that are upgraded to streams. */
export async function admit(parts: ChainParts, request: ApiRequest): Promise<RequestContext> {
  const info = parseRequestInfo(request.method, request.path, request.query);
  const user = request.user ?? (await authenticate(parts, request));
  await authorize(parts.authorizer, user, { info, query: request.query });
  const warnings: string[] = [];
  request.warnings = warnings;
  return { request, info, user, warnings, takeSteps: parts.steps.takeSteps };
}

async function authenticate(parts: ChainParts, request: ApiRequest): Promise<User> {
  const found = await parts.authenticator.authenticate(request.credentials ?? { headers: request.headers });
  if (found === undefined) throw new StatusError({ reason: "Unauthorized", code: 401, message: "Unauthorized" });
  return hasImpersonation(request) ? impersonated(parts.authorizer, found.user, request.headers) : found.user;
}

function hasImpersonation(request: ApiRequest): boolean {
  for (const name in request.headers) if (name.startsWith("impersonate-")) return true;
  return false;
}

// By hand: a race of promises costs several more of them for each request.
function withinTime(clock: Clock, result: Promise<ApiResult>): Promise<ApiResult> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(REQUEST_TIMEOUT_MS, () => reject(requestTimeout()));
    const end = (settle: () => void): void => {
      timer.clear();
      settle();
    };
    result.then(
      (answer) => end(() => resolve(answer)),
      (error: unknown) => end(() => reject(error)),
    );
  });
}

function requestTimeout(): StatusError {
  return new StatusError({
    reason: "Timeout",
    code: 504,
    message: "Timeout: request did not complete within the allotted timeout",
  });
}

/** What a client is told of an error. */
export function asStatusError(logger: Logger, error: unknown, request: ApiRequest): StatusError {
  if (error instanceof StatusError) return error;
  if (error instanceof StoreFull) {
    return new StatusError({
      reason: "InternalError",
      code: 500,
      message: `Internal error occurred: ${error.message}`,
      cause: error,
    });
  }
  if (error instanceof StoreClosed) {
    return new StatusError({
      reason: "ServiceUnavailable",
      code: 503,
      message: "the server is stopping",
      cause: error,
    });
  }
  logger.error("Failed to handle a request", { method: request.method, path: request.path, error });
  return internalError(error);
}
