/**
 * Who asks, and whether he may: tokens are the cluster's (TokenReview), rights are RBAC's (SubjectAccessReview) on `repositories` of nodeless.dev. To fetch is "get", to push "update".
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TokenReview } from "#api/generated/types/authentication-v1.ts";
import type { SubjectAccessReview } from "#api/generated/types/authorization-v1.ts";
import type { Client } from "#client/client.ts";
import { deliveryGroup, type DeliveryUser } from "#delivery/kinds.ts";
import { HttpFault } from "./http-fault.ts";

export type AccessOptions = {
  readonly client: Client;
  /** Who needs no token: whose connection it is, as far as the machine knows that he is somebody in the cluster. */
  readonly localUser: (socket: Socket) => Promise<DeliveryUser | undefined>;
};

export class Access {
  readonly #client: Client;
  readonly #localUser: AccessOptions["localUser"];

  constructor({ client, localUser }: AccessOptions) {
    this.#client = client;
    this.#localUser = localUser;
  }

  /** Who asks. Throws {@link HttpFault} when nobody says so: `git` asks for name and password then, of which the second is a token. */
  async identify({ headers, socket }: IncomingMessage): Promise<DeliveryUser> {
    const token = tokenOf(headers.authorization);
    // What else the administrator's programs can be led to send is not his word: events, pages, hooks of somebody.
    const isGit = /git/i.test(headers["user-agent"] ?? "");
    const user = token !== undefined ? await this.#userOf(token) : isGit ? await this.#localUser(socket) : undefined;
    if (user !== undefined) return user;
    throw new HttpFault(401, "a token of the cluster is needed as password, such as of: kubectl create token NAME", {
      "www-authenticate": 'Basic realm="nodeless", charset="UTF-8"',
    });
  }

  /** Throws {@link HttpFault} for who may not. */
  async check(user: DeliveryUser, verb: "get" | "update", namespace: string, name: string): Promise<void> {
    const { name: username, uid, groups } = user;
    const resourceAttributes = { group: deliveryGroup, version: "*", resource: "repositories", verb, namespace, name };
    const review: SubjectAccessReview = {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: { user: username, groups, ...(uid === undefined ? {} : { uid }), resourceAttributes },
    };
    const resource = { group: "authorization.k8s.io", version: "v1", resource: "subjectaccessreviews" };
    const { status } = await this.#client.create<SubjectAccessReview>({ resource }, review);
    if (status?.allowed === true) return;
    const what = `${verb} repositories.${deliveryGroup} ${JSON.stringify(name)} in namespace ${JSON.stringify(namespace)}`;
    throw new HttpFault(403, `user ${JSON.stringify(username)} may not ${what}`);
  }

  async #userOf(token: string): Promise<DeliveryUser | undefined> {
    if (token === "") return undefined;
    const review: TokenReview = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } };
    const resource = { group: "authentication.k8s.io", version: "v1", resource: "tokenreviews" };
    const { status } = await this.#client.create<TokenReview>({ resource }, review);
    const { username, uid, groups = [] } = status?.user ?? {};
    if (status?.authenticated !== true || username === undefined) return undefined;
    return { name: username, groups, ...(uid === undefined ? {} : { uid }) };
  }
}

/** The password of basic authentication, whatever the user's name, or a bearer token. "" for what is neither; undefined without any. */
function tokenOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined;
  const bearer = /^Bearer (\S+)$/i.exec(authorization)?.[1];
  const basic = /^Basic (\S+)$/i.exec(authorization)?.[1];
  if (basic === undefined) return bearer ?? "";
  const pair = Buffer.from(basic, "base64").toString();
  return pair.slice(pair.indexOf(":") + 1);
}
