/**
 * What a request asks for, by its path: NAMESPACE/NAME.git and one of the three paths of Git's smart protocol, or a webhook. The old protocol, which reads files, is not served.
 */
import type { IncomingMessage } from "node:http";
import { HttpFault } from "./http-fault.ts";

export type GitService = "git-upload-pack" | "git-receive-pack";

export type GitTarget =
  | {
      readonly kind: "git";
      readonly namespace: string;
      readonly name: string;
      /** Advertises refs, or does the work. */
      readonly path: "info/refs" | GitService;
      readonly service: GitService;
    }
  | { readonly kind: "webhook"; readonly namespace: string; readonly name: string };

const label = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?";
const gitPath = new RegExp(`^/(${label})/(${label})(?:\\.git)?/(info/refs|git-upload-pack|git-receive-pack)$`);
const webhookPath = new RegExp(`^/hooks/(${label})/(${label})$`);

/** Throws {@link HttpFault} for what is none of it. */
export function parseTarget({ method, url = "/" }: IncomingMessage): GitTarget {
  const [path = "", query = ""] = url.split("?");
  const [, hookNamespace, hookName] = webhookPath.exec(path) ?? [];
  if (hookNamespace !== undefined && hookName !== undefined) {
    if (method !== "POST") throw new HttpFault(405, "a webhook is a POST", { allow: "POST" });
    return { kind: "webhook", namespace: hookNamespace, name: hookName };
  }
  const [, namespace, name, what] = gitPath.exec(path) ?? [];
  if (namespace === undefined || name === undefined || what === undefined)
    throw new HttpFault(404, "there is nothing here; repositories are at /NAMESPACE/NAME.git");
  if (what === "info/refs") {
    if (method !== "GET") throw new HttpFault(405, "refs are read", { allow: "GET" });
    return { kind: "git", namespace, name, path: what, service: advertised(query) };
  }
  if (method !== "POST") throw new HttpFault(405, "packs are posted", { allow: "POST" });
  return { kind: "git", namespace, name, path: what as GitService, service: what as GitService };
}

function advertised(query: string): GitService {
  const service = new URLSearchParams(query).get("service");
  if (service === "git-upload-pack" || service === "git-receive-pack") return service;
  throw new HttpFault(403, "only Git's smart protocol is served");
}

/** A page in somebody's browser must not push, nor read by a name of its own that it lets lead here. */
export function refuseStrangers({ headers }: IncomingMessage): void {
  const host = (headers.host ?? "").replace(/:\d+$/, "");
  if (!/^(?:localhost|[\d.]+|\[[0-9a-fA-F:.]+\])$/.test(host))
    throw new HttpFault(403, "this server is asked by an address of this machine");
  if (headers.origin !== undefined) throw new HttpFault(403, "this server takes no requests of web pages");
}
