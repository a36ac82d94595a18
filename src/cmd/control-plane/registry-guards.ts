/**
 * Who may do what with the registry. On loopback the kernel says whose connection it is; at the cluster's own address, which pods reach, callers prove themselves with a token of the
 * cluster, as password or bearer, and RBAC on `images` of nodeless.dev says what they may do, by repository as resource name.
 */
import { stat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TokenReview } from "#api/generated/types/authentication-v1.ts";
import type { SubjectAccessReview } from "#api/generated/types/authorization-v1.ts";
import type { Client } from "#client/client.ts";
import { RegistryFault } from "#images/registry/registry-fault.ts";
import type { RegistryAction, RegistryGuard } from "#images/registry/registry-handler.ts";
import { findPeerUser } from "#linux/peer-user.ts";

/** Everybody on this machine may pull; root, the cluster's user and the owner of its kubeconfig may do everything. */
export class OwnerGuard implements RegistryGuard {
  readonly #kubeconfig: string;
  readonly #users = new WeakMap<Socket, Promise<number | undefined>>();

  constructor(kubeconfig: string) {
    this.#kubeconfig = kubeconfig;
  }

  async check({ socket }: IncomingMessage, action: RegistryAction): Promise<void> {
    if (action !== "push" && action !== "delete") return;
    const user = await this.#userOf(socket);
    // What is pushed runs in the cluster: it is for those who may do everything there.
    const administrator = await stat(this.#kubeconfig).catch(() => undefined);
    if (user !== undefined && [0, process.getuid?.(), administrator?.uid].includes(user)) return;
    throw new RegistryFault("DENIED", "pushing is for root and for whom the cluster belongs to");
  }

  #userOf(socket: Socket): Promise<number | undefined> {
    const { localAddress = "", localPort = 0, remoteAddress = "", remotePort = 0 } = socket;
    const user = this.#users.get(socket) ?? findPeerUser({ localAddress, localPort, remoteAddress, remotePort });
    this.#users.set(socket, user);
    return user;
  }
}

const verbs: Readonly<Record<Exclude<RegistryAction, "connect">, string>> = {
  list: "list",
  pull: "get",
  push: "create",
  delete: "delete",
};

/** Everything takes a token, and the right to it. */
export class TokenGuard implements RegistryGuard {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  async check({ headers }: IncomingMessage, action: RegistryAction, repository: string): Promise<void> {
    const user = await this.#userOf(tokenOf(headers.authorization));
    if (user === undefined)
      throw new RegistryFault("UNAUTHORIZED", "a token of the cluster is needed, as password or bearer", {
        headers: { "www-authenticate": 'Basic realm="nodeless"' },
      });
    if (action === "connect" || (await this.#mayDo(user, verbs[action], repository))) return;
    const what = `${verbs[action]} images.nodeless.dev ${JSON.stringify(repository)}`;
    throw new RegistryFault("DENIED", `user ${JSON.stringify(user.username)} may not ${what}`);
  }

  async #userOf(token: string): Promise<NonNullable<TokenReview["status"]>["user"]> {
    if (token === "") return undefined;
    const review: TokenReview = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } };
    const resource = { group: "authentication.k8s.io", version: "v1", resource: "tokenreviews" };
    const { status } = await this.#client.create<TokenReview>({ resource }, review);
    return status?.authenticated === true ? status.user : undefined;
  }

  async #mayDo(
    { username = "", groups = [] }: { readonly username?: string; readonly groups?: readonly string[] },
    verb: string,
    name: string,
  ): Promise<boolean> {
    const resourceAttributes = { group: "nodeless.dev", version: "*", resource: "images", verb, name };
    const review: SubjectAccessReview = {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: { user: username, groups, resourceAttributes },
    };
    const resource = { group: "authorization.k8s.io", version: "v1", resource: "subjectaccessreviews" };
    const { status } = await this.#client.create<SubjectAccessReview>({ resource }, review);
    return status?.allowed === true;
  }
}

/** Of `docker login` (any user name), or as clients of Kubernetes have it. */
function tokenOf(authorization = ""): string {
  const bearer = /^Bearer (\S+)$/i.exec(authorization)?.[1];
  const basic = /^Basic (\S+)$/i.exec(authorization)?.[1];
  if (basic === undefined) return bearer ?? "";
  const pair = Buffer.from(basic, "base64").toString();
  return pair.slice(pair.indexOf(":") + 1);
}
