/**
 * Where a function's requests go, as its Knative Service says: shares of revisions, and tags.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { UserError } from "#cli/command.ts";
import { conditionOf, type FunctionObject } from "#api/nodeless/function.ts";

/** A share of the requests, and perhaps a name of its own. */
export type Traffic = {
  readonly revisionName?: string;
  readonly percent?: number;
  readonly tag?: string;
  readonly url?: string;
};

type KnativeService = KubeObject & { readonly status?: { readonly traffic?: readonly Traffic[] } };

const services = { group: "serving.knative.dev", version: "v1", resource: "services" };

/** None while there is no Service. */
export async function trafficOf(client: Client, { metadata }: FunctionObject): Promise<readonly Traffic[]> {
  const ref = { resource: services, namespace: metadata?.namespace ?? "", name: metadata?.name ?? "" };
  try {
    return (await client.get<KnativeService>(ref)).status?.traffic ?? [];
  } catch (error) {
    if (hasReason(error, "NotFound")) return [];
    throw error;
  }
}

/** A line where what was just deployed gets less than all requests; undefined where it gets all. */
export function shareLine({ metadata, status }: FunctionObject, traffic: readonly Traffic[]): string | undefined {
  const latest = status?.latestReadyRevisionName;
  if (latest === undefined || traffic.length === 0) return undefined;
  const own = traffic.filter(({ revisionName }) => revisionName === latest);
  const percent = own.reduce((sum, share) => sum + (share.percent ?? 0), 0);
  if (percent >= 100) return undefined;
  const tags = own.flatMap(({ tag }) => tag ?? []);
  const byTag = tags.length === 0 ? "" : `, besides what asks for ${tags.map((tag) => `"${tag}"`).join(" and ")}`;
  return ` ! ${latest} gets ${percent} % of the traffic${byTag}: spec.traffic names revisions ('nodeless fn describe ${metadata?.name}' shows them)`;
}

/** Where a function is asked, or a revision of it by its tag. Throws UserError where nobody would answer. */
export function addressOf(
  fn: FunctionObject,
  { traffic, tag }: { readonly traffic: readonly Traffic[]; readonly tag: string | undefined },
): URL {
  const { metadata, status } = fn;
  const { name } = metadata ?? {};
  const how = `'nodeless fn describe ${name}' says why`;
  if (status?.url === undefined) throw new UserError(`function ${name} has no address yet: ${how}`);
  // What was ready once goes on answering while something newer is not.
  if (status.latestReadyRevisionName === undefined) {
    const { reason = "Deploying", message = "" } = conditionOf(fn, "Ready") ?? {};
    const why = [reason, message.split("\n")[0]].filter((part) => part !== "").join(": ");
    throw new UserError(`function ${name} is not ready (${why}): ${how}`);
  }
  const url = new URL(status.url);
  if (tag === undefined) return url;
  const tags = traffic.flatMap((share) => share.tag ?? []);
  if (!tags.includes(tag)) {
    const others = tags.length === 0 ? "it has none" : `it has ${tags.join(", ")}`;
    throw new UserError(`function ${name} has no tag "${tag}": ${others}`);
  }
  url.hostname = `${tag}-${url.hostname}`;
  return url;
}
