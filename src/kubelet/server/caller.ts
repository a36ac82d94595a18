/**
 * Who calls the node's API, and what he may do: the API server by its client certificate, everybody else by the cluster's own RBAC on the Node's subresources. As
 * pkg/kubelet/server/auth.go.
 */
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import type { SubjectAccessReview } from "#api/generated/types/authorization-v1.ts";
import type { TokenReview } from "#api/generated/types/authentication-v1.ts";
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";

/** A caller who has proved who he is. */
export type Caller = { readonly name: string; readonly groups: readonly string[] };

/** Why a call is turned away. */
export type Denial = { readonly code: 401 | 403; readonly message: string };

/** Answers of the cluster are believed this long. */
const trustMs = 120_000;
const maxRemembered = 1000;
const apiServerNames = new Set(["kube-apiserver", "kube-apiserver-kubelet-client"]);

export type CallerCheckOptions = { readonly nodeName: string; readonly client: Client; readonly clock: Clock };

/** Checks callers. */
export class CallerCheck {
  readonly #options: CallerCheckOptions;
  readonly #answers = new Map<string, { readonly answer: unknown; readonly untilMs: number }>();

  constructor(options: CallerCheckOptions) {
    this.#options = options;
  }

  /** undefined: the call may go on. */
  async deny(request: IncomingMessage, path: string): Promise<Denial | undefined> {
    const caller = certificateCaller(request) ?? (await this.#tokenCaller(request));
    if (!caller) return { code: 401, message: "Unauthorized" };
    if (caller.groups.includes("system:masters") || apiServerNames.has(caller.name)) return undefined;
    const verb =
      { GET: "get", HEAD: "get", POST: "create", PUT: "update", PATCH: "patch", DELETE: "delete" }[
        request.method ?? ""
      ] ?? "get";
    const subresources = subresourcesOf(path);
    for (const subresource of subresources) if (await this.#mayDo(caller, verb, subresource)) return undefined;
    const { nodeName } = this.#options;
    const what = `user=${caller.name}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(" ")}]`;
    return { code: 403, message: `Forbidden (${what}) on node ${nodeName}` };
  }

  async #tokenCaller(request: IncomingMessage): Promise<Caller | undefined> {
    const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (token === undefined) return undefined;
    return this.#remember(`token ${token}`, async () => {
      const review: TokenReview = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } };
      const resource = { group: "authentication.k8s.io", version: "v1", resource: "tokenreviews" };
      const { status } = await this.#options.client.create<TokenReview>({ resource }, review);
      if (!status?.authenticated) return undefined;
      return { name: status.user?.username ?? "", groups: status.user?.groups ?? [] };
    });
  }

  #mayDo(caller: Caller, verb: string, subresource: string): Promise<boolean> {
    const key = `may ${caller.name} ${caller.groups.join(",")} ${verb} ${subresource}`;
    return this.#remember(key, async () => {
      const resourceAttributes = { verb, version: "v1", resource: "nodes", subresource, name: this.#options.nodeName };
      const review: SubjectAccessReview = {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SubjectAccessReview",
        spec: { user: caller.name, groups: caller.groups, resourceAttributes },
      };
      const resource = { group: "authorization.k8s.io", version: "v1", resource: "subjectaccessreviews" };
      const { status } = await this.#options.client.create<SubjectAccessReview>({ resource }, review);
      return status?.allowed === true;
    });
  }

  async #remember<T>(key: string, ask: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const known = this.#answers.get(key);
    if (known && known.untilMs > clock.now()) return known.answer as T;
    const answer = await ask();
    this.#answers.delete(key);
    this.#answers.set(key, { answer, untilMs: clock.now() + trustMs });
    if (this.#answers.size > maxRemembered) this.#answers.delete(this.#answers.keys().next().value as string);
    return answer;
  }
}

/** The subject of a client certificate that the cluster's CA has signed. */
export function certificateCaller(request: IncomingMessage): Caller | undefined {
  const socket = request.socket as TLSSocket;
  if (!socket.authorized) return undefined;
  const subject = socket.getPeerCertificate()?.subject as { CN?: string | string[]; O?: string | string[] } | undefined;
  if (!subject?.CN) return undefined;
  return { name: [subject.CN].flat()[0] ?? "", groups: [subject.O ?? []].flat() };
}

/** Finer ones first; "proxy" opens all but statistics, metrics and logs of the node itself. */
function subresourcesOf(path: string): readonly string[] {
  const first = path.split("/")[1] ?? "";
  if (first === "stats" || first === "metrics") return [first];
  if (first === "logs") return ["log"];
  if (first === "healthz" || first === "configz") return [first, "proxy"];
  if (first === "pods" || first === "runningpods") return ["pods", "proxy"];
  return ["proxy"];
}
