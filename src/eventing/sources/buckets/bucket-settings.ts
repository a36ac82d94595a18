/**
 * Where a bucket is and who asks, out of a source's `spec.s3` and its Secret. The Secret's keys are the variables that AWS' own tools read, so that one Secret serves containers too; those of Knative's IntegrationSource are
 * understood as well.
 */
import type { S3Spec } from "#eventing/sources/kinds.ts";
import { findDurationMs } from "#apimachinery/duration.ts";
import { BucketProblem } from "./bucket-problem.ts";

/** Who asks. */
export type BucketKeys = {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
};

/** All that a client of one bucket goes by. */
export type BucketSettings = {
  readonly bucket: string;
  /** With path style the service's address, else the bucket's own. No slash at its end. */
  readonly base: string;
  readonly region: string;
  /** Absent: nobody; requests are not signed. */
  readonly keys?: BucketKeys;
  /** PEM; absent: the system's certificates. */
  readonly caCerts?: string;
};

const defaultRegion = "us-east-1";
const defaultPollMs = 30_000;
/** Each look is a request or more, which the service may bill. */
export const leastPollMs = 1000;

/** How long between two looks. */
export function pollMsOf({ pollInterval }: S3Spec): number {
  const ms = pollInterval === undefined ? undefined : findDurationMs(pollInterval);
  return Math.max(ms ?? defaultPollMs, leastPollMs);
}

/** `secret` is undefined when none is named. Throws BucketProblem. */
export function bucketSettings(spec: S3Spec, secret: Readonly<Record<string, string>> | undefined): BucketSettings {
  const { bucket = "" } = spec;
  const value = (...names: readonly string[]) => names.map((name) => secret?.[name]?.trim()).find((found) => found);
  const region = spec.region || value("AWS_REGION", "AWS_DEFAULT_REGION") || defaultRegion;
  const endpoint = spec.endpoint || value("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
  const service = serviceUrl(endpoint ?? `https://s3.${region}.amazonaws.com`);
  // A certificate for *.HOST says nothing of names with dots in front of it.
  const isPathStyle = spec.pathStyle ?? (endpoint !== undefined || bucket.includes("."));
  const caCerts = value("ca.crt");
  const keys = secret === undefined ? undefined : keysOf(spec, value);
  return {
    bucket,
    base: isPathStyle ? `${service}/${bucket}` : service.replace("://", `://${bucket}.`),
    region,
    ...(keys === undefined ? {} : { keys }),
    ...(caCerts === undefined ? {} : { caCerts }),
  };
}

function keysOf({ secretRef }: S3Spec, value: (...names: readonly string[]) => string | undefined): BucketKeys {
  const accessKeyId = value("AWS_ACCESS_KEY_ID", "aws.accessKey");
  const secretAccessKey = value("AWS_SECRET_ACCESS_KEY", "aws.secretKey");
  const sessionToken = value("AWS_SESSION_TOKEN", "aws.sessionToken");
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new BucketProblem(
      "SecretIncomplete",
      `Secret ${JSON.stringify(secretRef?.name)} has no AWS_ACCESS_KEY_ID or no AWS_SECRET_ACCESS_KEY`,
    );
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function serviceUrl(endpoint: string): string {
  if (!isEndpoint(endpoint))
    throw new BucketProblem("Unreachable", `${JSON.stringify(endpoint)} is no http:// or https:// address`);
  const { protocol, host, pathname } = new URL(endpoint);
  return `${protocol}//${host}${pathname.replace(/\/+$/, "")}`;
}

/** An address of a service: no user, no query. */
export function isEndpoint(text: string): boolean {
  const url = URL.parse(text);
  const isWeb = url?.protocol === "http:" || url?.protocol === "https:";
  return isWeb && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
}
