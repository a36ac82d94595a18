/**
 * Sends an event until somebody has taken it. A source has no subscription and no dead-letter sink: what it does not get rid of it keeps trying, at longer and longer intervals, and it goes on from its place.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import type { Target } from "#eventing/dispatcher/topology.ts";
import type { CloudEventOverrides, Source } from "#eventing/sources/kinds.ts";
import type { SendOutcome, SourceAdaptersContext } from "./adapter-context.ts";
import type { SourceRef } from "./source-metrics.ts";

/** What is sent, where, and until when it is of use. */
export type Delivery = {
  readonly event: CloudEvent;
  readonly target: Target;
  readonly source: SourceRef;
  /** Absent: for ever. */
  readonly untilMs?: number;
  readonly signal: AbortSignal;
};

const firstDelayMs = 50;
const longestDelayMs = 30_000;

/** What came of it in the end: taken, refused for good, or refused until `untilMs` came. Rejects with the signal's reason. */
export async function deliver(context: SourceAdaptersContext, delivery: Delivery): Promise<SendOutcome> {
  const { clock, logger, metrics, send } = context;
  const { event, target, source, untilMs = Number.POSITIVE_INFINITY, signal } = delivery;
  // Changes of objects have no time of their own.
  const happenedMs = Date.parse(String(event.attributes.get("time"))) || clock.now();
  for (let delayMs = firstDelayMs; ; delayMs = Math.min(delayMs * 2, longestDelayMs)) {
    const outcome = await send(event, target, signal);
    metrics.tried(source, outcome.status);
    if (outcome.kind === "taken") {
      metrics.sent(source, happenedMs, clock.now());
      return outcome;
    }
    const { status, isRetryable, retryAfterMs, why } = outcome;
    const { kind, namespace, name } = source;
    const facts = {
      source: `${kind} ${namespace}/${name}`,
      event: String(event.attributes.get("id")),
      status,
      error: why,
    };
    if (!isRetryable) {
      metrics.failed(source, outcome, clock.now());
      logger.warn("Sink refused an event of a source for good", facts);
      return outcome;
    }
    const waitMs = Math.max(delayMs, Math.min(retryAfterMs ?? 0, longestDelayMs));
    if (clock.now() + waitMs >= untilMs) {
      metrics.failed(source, outcome, clock.now());
      logger.warn("Gave up sending an event of a source, since the next is due", facts);
      return outcome;
    }
    if (delayMs === firstDelayMs) logger.info("Could not send an event of a source at once", facts);
    metrics.retried(source, outcome, clock.now());
    await clock.sleep(waitMs, signal);
  }
}

/** The sink that the controller found. Undefined while there is none. */
export function targetOf({ metadata, status }: Source): Target | undefined {
  const { sinkUri, sinkCACerts, sinkAudience, auth } = status ?? {};
  const { serviceAccountName: name } = auth ?? {};
  if (sinkUri === undefined || sinkUri === "") return undefined;
  return {
    url: sinkUri,
    ...(sinkCACerts === undefined ? {} : { caCerts: sinkCACerts }),
    ...(sinkAudience === undefined ? {} : { audience: sinkAudience }),
    ...(name === undefined ? {} : { identity: { namespace: metadata?.namespace ?? "", name } }),
  };
}

/** The event with what its source's user puts over it. */
export function withOverrides(event: CloudEvent, overrides: CloudEventOverrides | undefined): CloudEvent {
  const extensions = Object.entries(overrides?.extensions ?? {});
  if (extensions.length === 0) return event;
  return { ...event, attributes: new Map([...event.attributes, ...extensions]) };
}

/** How an object is called where its sending is counted. */
export function sourceRef(kind: string, { metadata }: KubeObject): SourceRef {
  return { kind, namespace: metadata?.namespace ?? "", name: metadata?.name ?? "" };
}
