/**
 * Serves the admission webhooks of a Knative part over HTTPS, with a certificate made at start: defaults at /defaulting, validation at /resource-validation, ConfigMaps at
 * /config-validation. The API server calls it as it would call anybody's.
 */
import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { createCa, issueCertificate, type KeyPair } from "#component-base/x509.ts";
import { type AdmissionReview, answerReview, type Reviewers } from "./admission-review.ts";
import { answerConversion, type ConversionReview, type ConvertObject } from "./conversion-review.ts";

/** Bodies beyond this are refused: the API server takes none that large. */
const maxBodyBytes = 8 << 20;
/** Where conversions between versions are asked for. */
export const conversionPath = "/resource-conversion";
const configPath = "/config-validation";
/** The ConfigMap that the control plane puts into each namespace. */
const rootCaName = "kube-root-ca.crt";
const certificateDays = 3650;
const dayMs = 86_400_000;

/** A running server, and what the API server must know to call it. */
export type WebhookServer = {
  /** "https://127.0.0.1:PORT". */
  readonly url: string;
  /** PEM of the authority that signed its certificate. */
  readonly ca: string;
  stop(): Promise<void>;
};

/** Starts one on a free port of 127.0.0.1. */
export async function startWebhookServer(options: {
  /** Whose: names the certificate ("serving"). */
  readonly part: string;
  /** Or what gives them when there is something to review: a part that nobody uses is not loaded. */
  readonly reviewers: Reviewers | (() => Promise<Reviewers>);
  /** Gives what converts objects between versions, at /resource-conversion. Absent: nothing does. */
  readonly converter?: () => Promise<ConvertObject>;
  readonly clock: Clock;
  readonly logger: Logger;
}): Promise<WebhookServer> {
  const { part, clock, logger } = options;
  const { ca, pair } = makeCertificates(part, clock);
  const server = createServer({ cert: pair.certificate, key: pair.privateKey }, (request, response) => {
    handle(request, response, options).catch((error: unknown) => {
      logger.warn("Review failed", { error });
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `https://127.0.0.1:${port}`, ca, stop: () => close(server) };
}

function makeCertificates(part: string, clock: Clock): { readonly ca: string; readonly pair: KeyPair } {
  const times = { notBeforeMs: clock.now() - dayMs, notAfterMs: clock.now() + certificateDays * dayMs };
  const ca = createCa({ subject: { commonName: `nodeless-${part}-webhook-ca` }, usages: ["cert sign"], ...times });
  const pair = issueCertificate(ca, {
    subject: { commonName: `nodeless-${part}-webhook` },
    addresses: ["127.0.0.1"],
    usages: ["digital signature", "server auth"],
    ...times,
  });
  return { ca: ca.certificate, pair };
}

type Answers = {
  readonly reviewers: Reviewers | (() => Promise<Reviewers>);
  readonly converter?: () => Promise<ConvertObject>;
};

async function handle(request: IncomingMessage, response: ServerResponse, answers: Answers): Promise<void> {
  const path = (request.url ?? "").split("?")[0] ?? "";
  const body = await readBody(request);
  if (body === undefined) {
    response.writeHead(413).end();
    return;
  }
  const review: unknown = request.method === "POST" ? JSON.parse(body) : undefined;
  const answer = review === undefined ? undefined : await findAnswer(path, review, answers);
  if (answer === undefined) {
    response.writeHead(404).end();
    return;
  }
  const text = JSON.stringify(answer(review));
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

/** What answers reviews at the path. */
async function findAnswer(
  path: string,
  review: unknown,
  { reviewers: given, converter }: Answers,
): Promise<((review: unknown) => object) | undefined> {
  if (path === conversionPath) {
    const convert = await converter?.();
    return convert && ((asked) => answerConversion(asked as ConversionReview, convert));
  }
  // What every namespace has is no sign of anybody who uses the part.
  if (path === configPath && (review as AdmissionReview).request?.object?.metadata?.name === rootCaName)
    return (asked) => answerReview(asked as AdmissionReview, () => ({}));
  const reviewers = typeof given === "function" ? await given() : given;
  const reviewer = Object.hasOwn(reviewers, path) ? reviewers[path] : undefined;
  return reviewer && ((asked) => answerReview(asked as AdmissionReview, reviewer));
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    size += (part as Buffer).length;
    if (size > maxBodyBytes) return undefined;
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString("utf8");
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
